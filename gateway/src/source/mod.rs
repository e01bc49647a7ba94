//! Where contracts come from: the build, files of descriptors, and the server reflection of upstreams.

mod editions;
mod files;
mod reflection;
mod watch;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context as _;
use bytes::Bytes;
use chassis::tls;
use contracts::caravan::options::v1::Access;
use files::Files;
use prost_reflect::DescriptorPool;
pub(crate) use watch::record_routes;
pub use watch::{Watch, watch};

use crate::upstream::Target;

/// Largest file of descriptors, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// A contract as it was read.
#[derive(Clone, Debug)]
pub struct Contract {
    /// Its descriptors.
    pub pool: DescriptorPool,
    /// Services whose contract came from an upstream, and where that is.
    pub homes: HashMap<String, Target>,
    /// Who may call an rpc that says nothing about it.
    pub default_access: DefaultAccess,
}

/// Who may call an rpc whose contract does not say.
#[derive(clap::ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultAccess {
    /// Anybody.
    Public,
    /// Every user with a valid access token.
    #[value(name = "signed_in")]
    SignedIn,
    /// Nobody.
    #[default]
    Deny,
}

impl DefaultAccess {
    /// The same as an option of the contract.
    pub(crate) fn access(self) -> Access {
        Access {
            public: self == Self::Public,
            signed_in: self == Self::SignedIn,
            ..Access::default()
        }
    }
}

impl Contract {
    /// A contract without any rpc.
    pub fn empty() -> Self {
        Self {
            pool: DescriptorPool::new(),
            homes: HashMap::new(),
            default_access: DefaultAccess::Deny,
        }
    }

    /// The contract that the gateway was built with.
    pub fn built_in() -> Self {
        Self {
            pool: contracts::DESCRIPTOR_POOL.clone(),
            homes: HashMap::new(),
            default_access: DefaultAccess::Deny,
        }
    }
}

/// What the operator named. None of both: the contract of the build.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Files, each an encoded `google.protobuf.FileDescriptorSet`.
    pub files: Vec<PathBuf>,
    /// Upstreams that are asked by server reflection; those with a name must be that service of the mesh.
    pub reflection: Vec<Target>,
    /// For contracts that do not say who may call.
    pub default_access: DefaultAccess,
    /// For upstreams that are asked over TLS.
    pub tls: Option<Arc<tls::Client>>,
}

/// What all sources said, to be compared with what they said before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Gathered {
    files: Files,
    homes: BTreeMap<String, Target>,
}

impl Sources {
    /// Whether there is anything to read; else the contract never changes.
    pub fn is_built_in(&self) -> bool {
        self.files.is_empty() && self.reflection.is_empty()
    }

    /// Reads all sources.
    ///
    /// # Errors
    /// The source that cannot be read, or the file that another one imports and none has.
    pub async fn read(&self) -> anyhow::Result<Contract> {
        if self.is_built_in() {
            let built_in = Contract::built_in();
            return Ok(Contract {
                default_access: self.default_access,
                ..built_in
            });
        }
        self.contract(&self.gather().await?)
    }

    async fn gather(&self) -> anyhow::Result<Gathered> {
        let mut gathered = Gathered::default();
        for path in &self.files {
            let explain = || path.display().to_string();
            let metadata = tokio::fs::metadata(path).await.with_context(explain)?;
            anyhow::ensure!(
                metadata.len() <= MAX_FILE_BYTES,
                "{}: larger than {MAX_FILE_BYTES} bytes",
                path.display()
            );
            let set: Bytes = tokio::fs::read(path).await.with_context(explain)?.into();
            gathered.files.add_set(set).with_context(explain)?;
        }
        for target in &self.reflection {
            let reflected = reflection::read(target, self.tls.as_ref()).await;
            let reflected = reflected.with_context(|| format!("reflection of {}", target.uri))?;
            for service in reflected.services {
                let home = gathered.homes.entry(service);
                home.or_insert_with(|| target.clone());
            }
            for file in reflected.files {
                gathered.files.add(file)?;
            }
        }
        Ok(gathered)
    }

    fn contract(&self, gathered: &Gathered) -> anyhow::Result<Contract> {
        let homes = gathered.homes.iter();
        Ok(Contract {
            pool: gathered.files.pool()?,
            homes: homes
                .map(|(name, home)| (name.clone(), home.clone()))
                .collect(),
            default_access: self.default_access,
        })
    }
}
