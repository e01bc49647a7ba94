//! How a mesh is started.

use crate::Engine;

/// What `caravan up` is told besides its home and its ports.
#[derive(Clone, Debug)]
pub struct Setup {
    pub(crate) engine: Engine,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) database_password: Option<String>,
}

impl Setup {
    /// A mesh on this engine with an empty catalogue.
    pub fn on(engine: Engine) -> Self {
        Self {
            engine,
            arguments: vec!["--no-seed".into()],
            variables: Vec::new(),
            database_password: None,
        }
    }

    /// On PostgreSQL the services log in with this password. The tests' cluster asks for none and takes any.
    pub fn database_password(mut self, password: &str) -> Self {
        self.database_password = Some(password.into());
        self
    }

    /// With the sample catalogue.
    pub fn seeded(mut self) -> Self {
        self.arguments.retain(|argument| argument != "--no-seed");
        self
    }

    /// Every process gets this variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }
}
