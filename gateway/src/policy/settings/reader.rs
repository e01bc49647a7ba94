//! From what is written to what holds.

use std::{fmt::Display, path::Path, str::FromStr};

use serde_saphyr::{Location, Spanned};

use super::{
    RouteCache, RouteSettings, Settings, SettingsError,
    document::{CorsDocument, Document, LimitsDocument, RouteDocument, Text},
    value::{access, bytes, count, duration, header_bytes, period, route_rate},
};
use crate::policy::{cors::Cors, limits::Limits, rate::Rate};

/// Turns a document into settings, and says where it is wrong.
pub(super) struct Reader<'f> {
    pub(super) file: &'f Path,
}

impl Reader<'_> {
    pub(super) fn place(&self, at: Option<&Location>) -> String {
        let file = self.file.display();
        match at {
            Some(at) => format!("{file}:{}:{}", at.line(), at.column()),
            None => file.to_string(),
        }
    }

    pub(super) fn fault(&self, at: &Location, what: impl Display) -> SettingsError {
        SettingsError(format!("{}: {what}", self.place(Some(at))))
    }

    pub(super) fn value<T>(
        &self,
        text: &Text,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        read(&text.value).map_err(|what| self.fault(&text.referenced, what))
    }

    /// Sets `place` where the document says something.
    fn set<T>(
        &self,
        place: &mut T,
        text: Option<&Text>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), SettingsError> {
        if let Some(text) = text {
            *place = self.value(text, read)?;
        }
        Ok(())
    }

    pub(super) fn settings(&self, document: Document) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        settings.switches = settings.switches.without(&document.disable);
        settings.trusted_proxies = document
            .trusted_proxies
            .iter()
            .map(|text| self.value(text, str::parse))
            .collect::<Result<_, _>>()?;
        settings.cors = document
            .cors
            .as_ref()
            .map(|cors| self.cors(cors))
            .transpose()?;
        let (rates, from) = (&mut settings.rates, &document.rates);
        self.set(&mut rates.read, from.read.as_ref(), Rate::from_str)?;
        self.set(&mut rates.write, from.write.as_ref(), Rate::from_str)?;
        self.set(&mut rates.heavy, from.heavy.as_ref(), Rate::from_str)?;
        self.set(&mut rates.strict, from.strict.as_ref(), Rate::from_str)?;
        let cache_bytes = document.cache.max_bytes.as_ref();
        self.set(&mut settings.cache_bytes, cache_bytes, bytes)?;
        let min_bytes = document.compression.min_bytes.as_ref();
        self.set(&mut settings.min_compressed_bytes, min_bytes, bytes)?;
        self.limits(&mut settings.limits, &document.limits)?;
        settings.routes = document
            .routes
            .iter()
            .map(|route| self.route(route))
            .collect::<Result<_, _>>()?;
        settings.splits = self.splits(&document.splits)?;
        settings.prefixes = self.prefixes(&document.prefixes)?;
        Ok(settings)
    }

    fn limits(&self, limits: &mut Limits, from: &LimitsDocument) -> Result<(), SettingsError> {
        self.set(&mut limits.connections, from.connections.as_ref(), count)?;
        self.set(&mut limits.body_bytes, from.body.as_ref(), bytes)?;
        self.set(
            &mut limits.body_timeout,
            from.body_timeout.as_ref(),
            duration,
        )?;
        self.set(
            &mut limits.header_bytes,
            from.headers.as_ref(),
            header_bytes,
        )?;
        self.set(&mut limits.headers, from.header_count.as_ref(), count)?;
        self.set(
            &mut limits.header_timeout,
            from.header_timeout.as_ref(),
            duration,
        )?;
        self.set(&mut limits.heartbeat, from.heartbeat.as_ref(), period)?;
        self.set(&mut limits.message_bytes, from.message.as_ref(), bytes)
    }

    fn cors(&self, cors: &Spanned<CorsDocument>) -> Result<Cors, SettingsError> {
        let from = &cors.value;
        let names = |texts: &[Text]| -> Result<Vec<String>, SettingsError> {
            let name = |text: &Text| {
                self.value(text, |text| {
                    let name = http::HeaderName::from_str(text);
                    let name = name.map_err(|_| format!("`{text}` is no header's name"))?;
                    Ok(name.as_str().to_owned())
                })
            };
            texts.iter().map(name).collect()
        };
        let origins = from
            .origins
            .iter()
            .map(|text| self.value(text, str::parse))
            .collect::<Result<_, _>>()?;
        let max_age = from.max_age.as_ref();
        let max_age = max_age.map(|text| self.value(text, duration)).transpose()?;
        Cors::new(
            origins,
            &names(&from.headers)?,
            &names(&from.expose)?,
            from.credentials,
            max_age,
        )
        .map_err(|what| self.fault(&cors.referenced, what))
    }

    fn route(&self, from: &RouteDocument) -> Result<RouteSettings, SettingsError> {
        let cache = from.cache.as_ref().map(|cache| {
            let stale = cache.stale_if_error.as_ref();
            Ok(RouteCache {
                ttl: self.value(&cache.ttl, duration)?,
                stale_if_error: stale
                    .map(|text| self.value(text, duration))
                    .transpose()?
                    .unwrap_or_default(),
                per_caller: cache.per_caller,
            })
        });
        Ok(RouteSettings {
            route: from.route.value.trim().trim_start_matches('/').to_owned(),
            place: self.place(Some(&from.route.referenced)),
            disabled: from.disable.clone(),
            access: from
                .access
                .as_deref()
                .map(|words| access(words.iter().map(|word| &*word.value))),
            rate: from
                .rate
                .as_ref()
                .map(|text| self.value(text, route_rate))
                .transpose()?,
            cache: cache.transpose()?,
            max_body_bytes: from
                .body
                .as_ref()
                .map(|text| self.value(text, bytes))
                .transpose()?,
        })
    }
}
