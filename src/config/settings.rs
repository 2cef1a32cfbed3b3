//! Settings: a value from the environment, else from `sessctl.toml`, else the default; and where each comes from.

use std::env::VarError;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use clap::ValueEnum;
use serde::{Serialize, Serializer};
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::file::ConfigFile;
use crate::failure::Failure;
use crate::output::is_invisible;

/// Maximum number of texts in a list, and of characters of each.
const MAX_TEXTS: usize = 1000;
const MAX_CHARACTERS: usize = 200;

/// A key of this or a higher likeness is named as the one that was meant.
const LIKE: f64 = 0.75;

/// What the name of a key with a secret has in it.
const SECRET_NAMES: [&str; 8] = [
    "url",
    "uri",
    "dsn",
    "password",
    "secret",
    "token",
    "connection",
    "database",
];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A variable of the environment.
    Environment(String),
    /// A line of a file.
    File(String),
    Default,
}

impl Source {
    /// One word: environment, file or default.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Environment(_) => "environment",
            Self::File(_) => "file",
            Self::Default => "default",
        }
    }

    /// The variable, or the file and its line.
    pub(crate) fn place(&self) -> Option<&str> {
        match self {
            Self::Environment(place) | Self::File(place) => Some(place),
            Self::Default => None,
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// A key with its value in force.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// What is wrong with a value, and where, if it is a part of the value. It has nothing of the value itself.
#[derive(Debug)]
pub(crate) struct Wrong {
    what: String,
    span: Option<Range<usize>>,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Wrong {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            span: None,
        }
    }

    fn at(self, span: Range<usize>) -> Self {
        Self {
            span: Some(span),
            ..self
        }
    }
}

/// A value as it was written.
pub(crate) enum Written<'a> {
    Toml(&'a DeValue<'a>),
    /// Of a variable; the texts of a list are separated by commas.
    Text(String),
}

impl Written<'_> {
    /// A whole number within bounds.
    pub(crate) fn number(&self, range: &RangeInclusive<i64>) -> Result<i32, Wrong> {
        let number = match self {
            Self::Toml(value) => {
                let digits = value.as_integer();
                digits.and_then(|digits| i64::from_str_radix(digits.as_str(), digits.radix()).ok())
            }
            Self::Text(text) => text.trim().parse().ok(),
        };
        let number = number.filter(|number| range.contains(number));
        number.and_then(|number| number.try_into().ok()).ok_or_else(|| {
            Wrong::new(format!(
                "must be a whole number from {} to {}",
                range.start(),
                range.end()
            ))
        })
    }

    /// true or false.
    pub(crate) fn flag(&self) -> Result<bool, Wrong> {
        let flag = match self {
            Self::Toml(value) => value.as_bool(),
            Self::Text(text) => text.trim().parse().ok(),
        };
        flag.ok_or_else(|| Wrong::new("must be true or false"))
    }

    /// A text in one line.
    pub(crate) fn text(&self) -> Result<String, Wrong> {
        let text = match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text.as_str()),
        };
        let text = text.ok_or_else(|| Wrong::new("must be a text"))?.trim();
        if text.chars().any(|c| c.is_control() || is_invisible(c)) {
            return Err(Wrong::new("has a control character or an invisible one"));
        }
        Ok(text.to_owned())
    }

    /// One of some words.
    pub(crate) fn choice<T: ValueEnum>(&self) -> Result<T, Wrong> {
        let word = match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text.trim()),
        };
        word.and_then(|word| T::from_str(word, false).ok()).ok_or_else(|| {
            let values = T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
            let words: Vec<String> = values.map(|value| format!("\"{}\"", value.get_name())).collect();
            Wrong::new(format!("must be {}", words.join(" or ")))
        })
    }

    /// A list of different texts.
    pub(crate) fn list<T: FromStr<Err: fmt::Display> + PartialEq>(&self) -> Result<Vec<T>, Wrong> {
        let texts: Vec<(&str, Option<Range<usize>>)> = match self {
            Self::Text(text) => text.split(',').map(|text| (text.trim(), None)).collect(),
            Self::Toml(value) => {
                let texts = value.as_array().map(|array| {
                    let texts = array
                        .iter()
                        .map(|text| Some((text.get_ref().as_str()?, Some(text.span()))));
                    texts.collect::<Option<Vec<_>>>()
                });
                texts.flatten().ok_or_else(|| Wrong::new("must be a list of texts"))?
            }
        };
        if texts.len() > MAX_TEXTS {
            return Err(Wrong::new(format!("must not have more than {MAX_TEXTS} texts")));
        }
        let mut list = Vec::new();
        for (text, span) in texts {
            let wrong = match text.parse::<T>() {
                _ if text.is_empty() => "has an empty text".to_owned(),
                _ if text.chars().count() > MAX_CHARACTERS => format!("has a text of over {MAX_CHARACTERS} characters"),
                _ if text.chars().any(|c| c.is_control() || is_invisible(c)) => {
                    "has a text with a control character or an invisible one".to_owned()
                }
                Err(error) => format!("has a wrong text: {error}"),
                Ok(item) if list.contains(&item) => "has a text twice".to_owned(),
                Ok(item) => {
                    list.push(item);
                    continue;
                }
            };
            let wrong = Wrong::new(wrong);
            return Err(match span {
                Some(span) => wrong.at(span),
                None => wrong,
            });
        }
        Ok(list)
    }
}

/// Reads the keys one by one, and so learns which there are.
pub(crate) struct Reader<'a> {
    file: Option<(&'a ConfigFile, DeTable<'a>)>,
    settings: Vec<Setting>,
}

impl<'a> Reader<'a> {
    /// Parses the file.
    ///
    /// # Errors
    /// A text that is not TOML.
    pub(crate) fn new(file: Option<&'a ConfigFile>) -> Result<Self, Failure> {
        let parsed = file.map(|file| match DeTable::parse(&file.text) {
            Ok(table) => Ok((file, table.into_inner())),
            Err(error) => Err(file.refusal(error.span(), &format!("not TOML: {}", error.message()))),
        });
        Ok(Self {
            file: parsed.transpose()?,
            settings: Vec::new(),
        })
    }

    /// The value of a key such as `cleanup.days`, and its default.
    ///
    /// # Errors
    /// A value that the key can't have; never with any part of it.
    pub(crate) fn get<T: Serialize>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Written<'_>) -> Result<T, Wrong>,
        default: T,
    ) -> Result<T, Failure> {
        let mut found = (default, Source::Default);
        // A wrong value is refused where the environment has a right one too.
        if let Some((file, written)) = self.in_file(key) {
            let value = read(&Written::Toml(written.get_ref())).map_err(|Wrong { what, span }| {
                file.refusal(Some(span.unwrap_or(written.span())), &format!("{key} {what}"))
            })?;
            let place = format!("{}:{}", file.path, file.line(written.span().start));
            found = (value, Source::File(place));
        }
        let variable = format!("SESSCTL_{}", key.to_ascii_uppercase().replace(['.', '-'], "_"));
        match std::env::var(&variable) {
            Ok(text) if !text.trim().is_empty() => {
                let value = read(&Written::Text(text));
                let value = value.map_err(|wrong| Failure::usage(format!("{variable} {}", wrong.what)))?;
                found = (value, Source::Environment(variable));
            }
            Err(VarError::NotUnicode(_)) => {
                return Err(Failure::usage(format!(
                    "the environment variable {variable} is not UTF-8 text"
                )));
            }
            _ => {}
        }
        let (value, source) = found;
        self.settings.push(Setting {
            key,
            value: serde_json::to_value(&value).unwrap_or_default(),
            source,
        });
        Ok(value)
    }

    fn in_file(&self, key: &str) -> Option<(&'a ConfigFile, &Spanned<DeValue<'a>>)> {
        let (file, table) = self.file.as_ref()?;
        let (section, name) = key.split_once('.')?;
        let value = of(of(table, section)?.get_ref().as_table()?, name)?;
        Some((file, value))
    }

    /// All keys with their values in force, in the order they were asked for.
    ///
    /// # Errors
    /// A key of the file that nothing asked for.
    pub(crate) fn finish(self) -> Result<Vec<Setting>, Failure> {
        let Some((file, table)) = &self.file else {
            return Ok(self.settings);
        };
        let known = |key: &str| self.settings.iter().any(|setting| setting.key == key);
        let mut unknown: Vec<(Range<usize>, Unknown)> = Vec::new();
        for (section, value) in table {
            let name = section.get_ref();
            let prefix = format!("{name}.");
            let is_section = self.settings.iter().any(|setting| setting.key.starts_with(&prefix));
            match value.get_ref().as_table() {
                Some(table) if is_section => {
                    let keys = table
                        .keys()
                        .map(|key| (key.span(), format!("{prefix}{}", key.get_ref())));
                    let keys = keys.filter(|(_, key)| !known(key));
                    unknown.extend(keys.map(|(span, key)| (span, Unknown::Key(key))));
                }
                Some(_) => unknown.push((section.span(), Unknown::Table(name.to_string()))),
                None if is_section => {
                    return Err(file.refusal(Some(value.span()), &format!("{name} must be a table: [{name}]")));
                }
                None => unknown.push((section.span(), Unknown::Key(name.to_string()))),
            }
        }
        match unknown.into_iter().min_by_key(|(span, _)| span.start) {
            Some((span, unknown)) => Err(self.refuse(file, span, &unknown)),
            None => Ok(self.settings),
        }
    }

    /// Names what there is instead of a key or a table that there is not.
    fn refuse(&self, file: &ConfigFile, span: Range<usize>, unknown: &Unknown) -> Failure {
        let (kind, name) = match unknown {
            Unknown::Key(name) => ("key", name),
            Unknown::Table(name) => ("table", name),
        };
        let lower = name.to_ascii_lowercase();
        if SECRET_NAMES.iter().any(|mark| lower.contains(mark)) {
            return file.secret_at(span.start);
        }
        let mut what = format!("unknown {kind}");
        // Another text may be something that was pasted.
        if name.len() <= 60 && name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
            what = format!("{what} {name}");
        }
        let keys: Vec<&str> = self.settings.iter().map(|setting| setting.key).collect();
        let known: Vec<&str> = match unknown {
            Unknown::Key(_) => keys.clone(),
            Unknown::Table(_) => keys.iter().filter_map(|key| key.split('.').next()).collect(),
        };
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let likeness = |known: &str| {
            let whole = strsim::jaro_winkler(known, &lower);
            whole.max(strsim::jaro_winkler(&last(known), &last(&lower)))
        };
        let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        file.refusal(Some(span), &what).hint(match nearest {
            Some(nearest) if likeness(nearest) >= LIKE => {
                format!("the nearest {kind} is {nearest}; sessctl config lists all keys")
            }
            _ => format!("the keys are {}", keys.join(", ")),
        })
    }
}

/// What a file has and nothing asks for.
enum Unknown {
    /// With the name of its table, if that is known.
    Key(String),
    Table(String),
}

fn of<'t, 'a>(table: &'t DeTable<'a>, name: &str) -> Option<&'t Spanned<DeValue<'a>>> {
    table
        .iter()
        .find(|(key, _)| *key.get_ref() == name)
        .map(|(_, value)| value)
}
