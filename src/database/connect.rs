//! Connecting: each address of the host within the connect timeout, from the first packet to the end of the login.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{Config, Error};

use super::bounded::{Connected, Connector};

/// Why no connection came about.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// The server's or the network's word.
    Driver(Error),
    /// The host's name is not known.
    Lookup(io::Error),
    /// Nothing was heard for this long.
    Silence(Duration),
}

/// Tries the addresses one after the other. One that refuses the login is the last: it would refuse the next one too, and
/// poolers count.
pub(super) async fn connect(config: &Config, connector: &Connector) -> Result<Connected, ConnectError> {
    let limit = config.get_connect_timeout().copied();
    let mut config = config.clone();
    if let Some(limit) = limit {
        // The driver's own ends with the TCP connection, and would only race with this one.
        config.connect_timeout(limit.saturating_mul(2));
    }
    let mut addresses = addresses(&config, limit).await?.into_iter();
    let mut address = addresses.next();
    loop {
        let mut config = config.clone();
        if let Some(address) = address {
            config.hostaddr(address);
        }
        let error = match within(limit, connector.connect(&config)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => ConnectError::Driver(error),
            Err(error) => error,
        };
        let is_refused = matches!(&error, ConnectError::Driver(error) if error.as_db_error().is_some());
        address = addresses.next();
        if is_refused || address.is_none() {
            return Err(error);
        }
    }
}

/// The addresses of a host that is given by its name, and none of another.
async fn addresses(config: &Config, limit: Option<Duration>) -> Result<Vec<IpAddr>, ConnectError> {
    let port = config.get_ports().first().copied().unwrap_or(5432);
    match config.get_hosts().first() {
        Some(Host::Tcp(name)) if config.get_hostaddrs().is_empty() => {
            let found = within(limit, lookup_host((name.as_str(), port))).await?;
            Ok(found
                .map_err(ConnectError::Lookup)?
                .map(|address| address.ip())
                .collect())
        }
        _ => Ok(Vec::new()),
    }
}

async fn within<T>(limit: Option<Duration>, work: impl Future<Output = T>) -> Result<T, ConnectError> {
    match limit {
        Some(limit) => timeout(limit, work).await.map_err(|_| ConnectError::Silence(limit)),
        None => Ok(work.await),
    }
}
