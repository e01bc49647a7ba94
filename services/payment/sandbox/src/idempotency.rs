//! Idempotency-Key as Stripe's: the first answer is kept and given again, errors included.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::http::HeaderMap;

use crate::error::ApiError;

const MAX_KEY_CHARS: usize = 255;

/// A key and the request that it stands for.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) key: String,
    /// Path and parameters in one spelling.
    pub(crate) request: String,
}

impl Key {
    pub(crate) fn of(
        headers: &HeaderMap,
        path: &str,
        parameters: &str,
    ) -> Result<Option<Self>, ApiError> {
        let Some(value) = headers.get("idempotency-key") else {
            return Ok(None);
        };
        let key = value
            .to_str()
            .ok()
            .filter(|key| !key.is_empty() && key.len() <= MAX_KEY_CHARS)
            .ok_or_else(|| {
                ApiError::invalid(format!(
                    "Idempotency keys have 1 to {MAX_KEY_CHARS} printable characters."
                ))
            })?;
        Ok(Some(Self {
            key: key.to_owned(),
            request: format!("{path}?{parameters}"),
        }))
    }
}

/// Keys whose first request is under way.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashSet<String>>>);

impl Running {
    /// Marks the key until the guard goes; 409 where it is marked already.
    pub(crate) fn enter(&self, key: &Key) -> Result<Guard, ApiError> {
        let fresh = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key.key.clone());
        if !fresh {
            return Err(ApiError::in_progress());
        }
        Ok(Guard {
            running: self.clone(),
            key: key.key.clone(),
        })
    }
}

pub(crate) struct Guard {
    running: Running,
    key: String,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.running
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}
