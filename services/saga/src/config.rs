//! Everything that the environment says; nothing else reads it.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use anyhow::bail;
use chassis::config::Common;
use saga_definition::check::logical_name;

/// The saga service's configuration.
#[derive(Clone, Debug, clap::Parser)]
pub struct Config {
    /// What every service of the mesh is told.
    #[command(flatten)]
    pub common: Common,

    /// Participants whose name in UPSTREAMS is not the last part of their package: `acme.billing.v1.Ledger=books` for one
    /// service, `acme.crm.v2=customers` for a package. `acme.billing.v1` without an entry is `billing`.
    #[arg(long, env = "SAGA_PARTICIPANTS", default_value = "")]
    pub participants: Names,

    /// Time after which another orchestrator takes over the sagas of one that is silent.
    #[arg(long, env = "SAGA_LEASE", default_value = "8s", value_parser = humantime::parse_duration)]
    pub lease: Duration,

    /// Most sagas that this process works on at a time; the others wait in the database.
    #[arg(long, env = "SAGA_CONCURRENCY", default_value = "1024", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub concurrency: u32,

    /// Time after its end for which a saga keeps its input, replies and signals; then only what happened stays.
    #[arg(long, env = "SAGA_DATA_RETENTION", default_value = "1d", value_parser = humantime::parse_duration)]
    pub data_retention: Duration,

    /// Time after its end for which a saga is kept at all; then its key may be used again.
    #[arg(long, env = "SAGA_RETENTION", default_value = "30d", value_parser = humantime::parse_duration)]
    pub retention: Duration,
}

/// The name in UPSTREAMS by which a participant is called, by the package or the full name of its service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// The upstream of a service: by its own name, else by its package, else the last part of the package that is no version.
    pub fn upstream<'a>(&'a self, service: &'a str) -> &'a str {
        let package = service.rsplit_once('.').map_or("", |(package, _)| package);
        let named = self.0.get(service).or_else(|| self.0.get(package));
        named.map_or_else(|| logical_name(package), String::as_str)
    }

    /// Every upstream that is named.
    pub fn upstreams(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(String::as_str)
    }
}

impl FromStr for Names {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut names = BTreeMap::new();
        for entry in text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let Some((service, upstream)) = entry.split_once('=') else {
                bail!("`{entry}`: expected `package.Service=upstream` or `package=upstream`");
            };
            let (service, upstream) = (service.trim(), upstream.trim());
            if service.is_empty() || upstream.is_empty() {
                bail!("`{entry}`: expected `package.Service=upstream` or `package=upstream`");
            }
            if names
                .insert(service.to_owned(), upstream.to_owned())
                .is_some()
            {
                bail!("`{service}` is named twice");
            }
        }
        Ok(Self(names))
    }
}

impl AsRef<Common> for Config {
    fn as_ref(&self) -> &Common {
        &self.common
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_found_by_its_name_its_package_or_the_package_s_last_part() {
        let names: Names = "acme.billing.v1.Ledger=books, acme.crm.v2=customers"
            .parse()
            .expect("fine");
        assert_eq!(names.upstream("acme.billing.v1.Ledger"), "books");
        assert_eq!(names.upstream("acme.billing.v1.Billing"), "billing");
        assert_eq!(names.upstream("acme.crm.v2.Contacts"), "customers");
        assert_eq!(
            names.upstream("caravan.inventory.v1.InventoryService"),
            "inventory"
        );
    }

    #[test]
    fn a_bad_name_is_told() {
        for text in ["acme", "=books", "acme=", "a=b,a=c"] {
            assert!(text.parse::<Names>().is_err(), "{text}");
        }
    }
}
