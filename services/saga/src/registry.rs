//! Definitions: registered as rows, compiled when they are first needed.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use chassis::db::Db;
use contracts::{DESCRIPTOR_POOL, caravan::saga::v1 as pb};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use saga_definition::descriptors::{called_services, pool_with};
use tokio::sync::watch;

use crate::{
    check, domain::definition::Definition, error::Error, participants::Participants, reflection,
    store,
};

/// Compiled versions that are kept; beyond it all are forgotten and compiled again when needed.
const MAX_COMPILED: usize = 256;

/// Most participants of one definition that are asked for their contracts.
const MAX_FOREIGN: usize = 20;

type Compiled = HashMap<(String, i32), Arc<Definition>>;

/// Every definition of the service. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    db: Db,
    participants: Participants,
    compiled: Arc<RwLock<Compiled>>,
    newest: Arc<watch::Sender<BTreeMap<String, i32>>>,
}

impl Registry {
    /// Over this database, asking these participants for their contracts; knows nothing before [`Self::refresh`].
    pub fn new(db: Db, participants: Participants) -> Self {
        Self {
            db,
            participants,
            compiled: Arc::default(),
            newest: Arc::new(watch::Sender::default()),
        }
    }

    /// Checks a definition and keeps it. The same content again answers the version that it has, as long as the
    /// contracts of the participants that are not built in are the same too.
    ///
    /// # Errors
    /// [`Error::Definition`] names every fault; [`Error::Reflection`] where a participant does not tell its contract.
    pub async fn register(&self, definition: pb::Definition) -> Result<i32, Error> {
        let descriptors = self.descriptors(&definition).await?;
        let (definition, descriptors) = (&definition, descriptors.as_deref());
        compile(definition.clone(), descriptors.map(<[u8]>::to_vec)).await?;
        let version =
            self.db
                .write(|tx| async move {
                    store::definitions::register(&tx, definition, descriptors).await
                })
                .await?;
        self.refresh().await?;
        Ok(version)
    }

    /// The contracts of the participants that are not built in, as their reflection tells them. What no upstream is
    /// configured for is left to the check, which names the step.
    async fn descriptors(&self, definition: &pb::Definition) -> Result<Option<Vec<u8>>, Error> {
        let mut files = BTreeMap::new();
        let called = called_services(definition);
        let foreign = called
            .iter()
            .filter(|service| DESCRIPTOR_POOL.get_service_by_name(service).is_none());
        for service in foreign.take(MAX_FOREIGN) {
            let Ok(channel) = self.participants.channel(service) else {
                continue;
            };
            let read = reflection::read(channel, service).await;
            let read = read.map_err(|fault| Error::Reflection {
                service: service.clone(),
                fault,
            })?;
            files.extend(
                read.file
                    .into_iter()
                    .map(|file| (file.name().to_owned(), file)),
            );
        }
        let file: Vec<_> = files.into_values().collect();
        Ok((!file.is_empty()).then(|| FileDescriptorSet { file }.encode_to_vec()))
    }

    /// Reads which versions are the newest, also those that other replicas registered.
    ///
    /// # Errors
    /// The database's own.
    pub async fn refresh(&self) -> Result<(), Error> {
        let newest: BTreeMap<_, _> = store::definitions::all_newest(self.db.read())
            .await?
            .into_iter()
            .collect();
        self.newest.send_if_modified(|known| {
            let changed = *known != newest;
            *known = newest;
            changed
        });
        Ok(())
    }

    /// The newest version of every definition, and every change of it.
    pub fn watch(&self) -> watch::Receiver<BTreeMap<String, i32>> {
        self.newest.subscribe()
    }

    /// The newest version of a definition, compiled.
    ///
    /// # Errors
    /// [`Error::NoDefinition`]; the database's own.
    pub async fn newest(&self, name: &str) -> Result<(i32, Arc<Definition>), Error> {
        let known = || self.newest.borrow().get(name).copied();
        let version = match known() {
            Some(version) => version,
            None => {
                // Just started, or another replica has just registered it.
                self.refresh().await?;
                known().ok_or_else(|| Error::NoDefinition(name.to_owned()))?
            }
        };
        Ok((version, self.version(name, version).await?))
    }

    /// One version of a definition, compiled.
    ///
    /// # Errors
    /// [`Error::NoDefinition`]; the database's own; the contract has changed so that it no longer compiles.
    pub async fn version(&self, name: &str, version: i32) -> Result<Arc<Definition>, Error> {
        let key = (name.to_owned(), version);
        let known = self
            .compiled
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let stored = store::definitions::find(self.db.read(), name, version).await?;
        let stored =
            stored.ok_or_else(|| Error::NoDefinition(format!("{name} version {version}")))?;
        let compiled = Arc::new(compile(stored.definition, stored.descriptors).await?);
        let mut cache = self
            .compiled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= MAX_COMPILED {
            cache.clear();
        }
        cache.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }
}

/// Compiling takes a thread of its own; nobody else's work waits for it.
async fn compile(
    definition: pb::Definition,
    descriptors: Option<Vec<u8>>,
) -> Result<Definition, Error> {
    let compiled = tokio::task::spawn_blocking(move || match descriptors {
        None => check::compile(&definition, &DESCRIPTOR_POOL).map_err(Error::Definition),
        Some(set) => {
            let pool = pool_with(&set);
            let contradicts = |text| Error::Reflection {
                service: "a participant".to_owned(),
                fault: reflection::Fault::Unusable(text),
            };
            check::compile(&definition, &pool.map_err(contradicts)?).map_err(Error::Definition)
        }
    });
    compiled
        .await
        .map_err(|_| Error::corrupt("a definition could not be compiled"))?
}
