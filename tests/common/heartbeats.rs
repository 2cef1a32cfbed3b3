//! Clients that send heartbeats while sweeps run, and fall silent and come back by chance.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use sessctl::sandbox::Grants;

use super::Db;

const CLIENTS: u64 = 8;
const SESSIONS_A_CLIENT: u64 = 50;
const SWEEPERS: usize = 2;

/// Numbers that look like chance and are the same each time (Knuth's constants for a linear congruential generator).
pub struct Chance(u64);

impl Chance {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// What happened in all.
#[derive(Debug)]
pub struct Count {
    pub heartbeats: u64,
    pub sweeps: u64,
    /// As the sweeps say.
    pub ended: u64,
    /// As the clients and, in the end, the table say.
    pub seen_ended: u64,
}

/// Runs eight clients, each until `enough` says so of its number of steps, beside two sweeps at a time; then one sweep
/// more. Panics where a session ends that has a fresh heartbeat, where a silent one does not, or where the sweeps' counts
/// are not what the clients saw.
pub fn beside_sweeps(seed: u64, enough: impl Fn(u64) -> bool + Sync) -> Count {
    let db = Db::migrated(Grants::Closed);
    let sql = format!(
        "insert into auth.users (id) select md5('user ' || c)::uuid from generate_series(0, {CLIENTS} - 1) as c;
         insert into public.user_sessions (user_id, session_id, platform)
         select md5('user ' || c)::uuid, format('%s of %s', s, c), 'web'
         from generate_series(0, {CLIENTS} - 1) as c, generate_series(0, {SESSIONS_A_CLIENT} - 1) as s"
    );
    db.client().batch_execute(&sql).unwrap();
    let sweep = || {
        let arguments = ["end-inactive", "--batch-size", "37", "--format", "json"];
        db.sessctl(&arguments).ok().json()["ended"].as_u64().unwrap()
    };
    let over = AtomicBool::new(false);
    let mut count = Count {
        heartbeats: 0,
        sweeps: 1,
        ended: 0,
        seen_ended: 0,
    };
    let silent: Vec<String> = scope(|scope| {
        let (db, enough, sweep, over) = (&db, &enough, &sweep, &over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| scope.spawn(move || live(db, client, Chance::of(seed + client), enough)))
            .collect();
        let sweepers: Vec<_> = (0..SWEEPERS)
            .map(|_| {
                scope.spawn(move || {
                    let (mut sweeps, mut ended) = (0, 0);
                    while !over.load(Ordering::Relaxed) {
                        ended += sweep();
                        sweeps += 1;
                    }
                    (sweeps, ended)
                })
            })
            .collect();
        let lives: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        // Before the first panic goes on: the sweepers would never end.
        over.store(true, Ordering::Relaxed);
        for sweeper in sweepers {
            let (sweeps, ended) = sweeper.join().unwrap();
            count.sweeps += sweeps;
            count.ended += ended;
        }
        lives
            .into_iter()
            .flat_map(|life| {
                let (heartbeats, seen, silent) = life.unwrap();
                count.heartbeats += heartbeats;
                count.seen_ended += seen;
                silent
            })
            .collect()
    });
    count.ended += sweep();
    let over: Vec<String> = db
        .client()
        .query(
            "select session_id from public.user_sessions where status = 'timeout' order by 1",
            &[],
        )
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let mut silent = silent;
    silent.sort();
    assert_eq!(over, silent, "not the silent sessions have ended in the end");
    count.seen_ended += over.len() as u64;
    assert_eq!(count.ended, count.seen_ended, "{count:?}");
    count
}

/// One client's life: how many heartbeats it sent, how many ends it saw, and which of its sessions are silent.
fn live(db: &Db, client: u64, mut chance: Chance, enough: impl Fn(u64) -> bool) -> (u64, u64, Vec<String>) {
    let mut connection = db.client();
    let beat = "update public.user_sessions set last_heartbeat_at = now() where session_id = $1 returning status";
    let revive = "update public.user_sessions
        set status = 'active', end_reason = null, ended_at = null, last_heartbeat_at = now()
        where session_id = $1 and status = 'timeout'";
    let fall_silent =
        "update public.user_sessions set last_heartbeat_at = now() - interval '2 hours' where session_id = $1";
    let [beat, revive, fall_silent] = [beat, revive, fall_silent].map(|sql| connection.prepare(sql).unwrap());
    let mut is_silent = vec![false; usize::try_from(SESSIONS_A_CLIENT).unwrap()];
    let name = |session: usize| format!("{session} of {client}");
    let (mut heartbeats, mut seen, mut steps) = (0, 0, 0);
    while !enough(steps) {
        steps += 1;
        let session = usize::try_from(chance.below(SESSIONS_A_CLIENT)).unwrap();
        let id = name(session);
        if !is_silent[session] && chance.below(4) == 0 {
            connection.execute(&fall_silent, &[&id]).unwrap();
            is_silent[session] = true;
            continue;
        }
        let status: String = connection.query_one(&beat, &[&id]).unwrap().get(0);
        heartbeats += 1;
        if status == "timeout" {
            assert!(is_silent[session], "{id} has ended with a fresh heartbeat");
            seen += 1;
            assert_eq!(connection.execute(&revive, &[&id]).unwrap(), 1);
        }
        is_silent[session] = false;
    }
    let silent = is_silent.iter().enumerate().filter(|(_, silent)| **silent);
    (heartbeats, seen, silent.map(|(session, _)| name(session)).collect())
}
