//! Making, listing and revoking.

use std::sync::Arc;

use llmops_api::access::{CreateKey, CreateProject, CreatedKey};
use llmops_domain::access::{ApiKey, AuditRecord, Project, Role};
use llmops_domain::id::{KeyId, ProjectId};
use llmops_domain::limits::Limits;
use llmops_storage::{AuditFilter, StoredKey};

use super::{SECRET_PREFIX, hash_of};
use crate::{Error, Services};

/// Characters of a secret that are shown: the prefix and six more.
const SHOWN: usize = SECRET_PREFIX.len() + 6;
/// Fewest characters of a secret that somebody chooses.
const SHORTEST: usize = 16;

/// Manages keys. The callers that may are the server's concern.
#[derive(Debug, Clone)]
pub struct KeyManager {
    services: Arc<Services>,
    project: ProjectId,
}

impl KeyManager {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Makes a key. Its secret is in the answer and nowhere else.
    pub async fn create(&self, request: CreateKey) -> Result<CreatedKey, Error> {
        let CreateKey { name, role, project, expires_at, limits } = request;
        check_limits(&limits)?;
        let project = reach(&self.project, project.as_ref().map(ProjectId::as_str))?;
        check_name("the key's name", &name)?;
        if expires_at.is_some_and(|end| end <= self.services.clock.now()) {
            return Err(Error::invalid("expires_at lies in the past: expected a time to come"));
        }
        let secret = self.services.access.new_secret(SECRET_PREFIX);
        let key = ApiKey { project, expires_at, limits, ..self.new_key(&name, role, &secret) };
        let stored = StoredKey { hash: hash_of(&secret), key };
        self.services.store.create_key(&stored).await?;
        self.services.access.refresh().await?;
        Ok(CreatedKey { key: stored.key, secret })
    }

    /// Makes the first key of an installation, an admin's, unless there are keys: with this secret, or with a new one.
    pub async fn create_first(&self, secret: Option<&str>) -> Result<Option<CreatedKey>, Error> {
        let secret = match secret {
            None => self.services.access.new_secret(SECRET_PREFIX),
            Some(secret) if secret.len() >= SHORTEST && secret.bytes().all(|b| b.is_ascii_graphic()) => {
                secret.to_owned()
            }
            Some(_) => {
                return Err(Error::invalid(format!(
                    "the admin key is no secret: expected at least {SHORTEST} random characters of ASCII, no spaces"
                )));
            }
        };
        let stored = StoredKey { hash: hash_of(&secret), key: self.new_key("admin", Role::Admin, &secret) };
        let created = self.services.store.create_first_key(&stored).await?;
        self.services.access.refresh().await?;
        Ok(created.then_some(CreatedKey { key: stored.key, secret }))
    }

    fn new_key(&self, name: &str, role: Role, secret: &str) -> ApiKey {
        let now = self.services.clock.now();
        ApiKey {
            id: KeyId::new(now.as_millisecond(), self.services.clock.random()),
            name: name.to_owned(),
            project: self.project.clone(),
            role,
            prefix: secret.chars().take(SHOWN.min(secret.len() / 4)).collect(),
            created_at: now,
            created_by: self.services.store.actor().name.clone(),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
            limits: Limits::default(),
        }
    }

    /// Keys in the order of their making, behind the id `after`. Only from the project `default` are others' to be seen.
    pub async fn list(&self, project: Option<&str>, after: Option<&str>, limit: u32) -> Result<Vec<ApiKey>, Error> {
        let project = reach(&self.project, project)?;
        Ok(self.services.store.list_keys(&project, after, limit).await?)
    }

    /// One key.
    pub async fn get(&self, project: Option<&str>, id: &str) -> Result<ApiKey, Error> {
        let project = reach(&self.project, project)?;
        Ok(self.services.store.get_key(&project, id).await?)
    }

    /// Sets what may be spent with a key, on every replica within a second.
    pub async fn limit(&self, project: Option<&str>, id: &str, limits: &Limits) -> Result<ApiKey, Error> {
        check_limits(limits)?;
        let project = reach(&self.project, project)?;
        let key = self.services.store.limit_key(&project, id, limits).await?;
        self.services.access.refresh().await?;
        Ok(key)
    }

    /// Makes a key useless, on every replica within a second.
    pub async fn revoke(&self, project: Option<&str>, id: &str) -> Result<ApiKey, Error> {
        let key = self.get(project, id).await?;
        if self.services.store.actor().key.as_ref() == Some(&key.id) {
            return Err(Error::Conflict {
                message: format!("the key {id} is the one that asks: it would lock its owner out"),
                hint: Some("revoke it with another admin's key, or with `llmops key revoke` on the store".to_owned()),
            });
        }
        let revoked = self.services.store.revoke_key(&key.project, &key.id, self.services.clock.now()).await?;
        self.services.access.refresh().await?;
        Ok(revoked)
    }
}

fn check_limits(limits: &Limits) -> Result<(), Error> {
    limits.all().map(drop).map_err(|error| Error::invalid(format!("limits.{error}")))
}

/// The project that is meant. Callers of the project `default` look after the installation and may name another one; to
/// others it is as if there were none.
fn reach(own: &ProjectId, named: Option<&str>) -> Result<ProjectId, Error> {
    match named {
        None => Ok(own.clone()),
        Some(named) if named == own.as_str() || *own == ProjectId::default_project() => Ok(ProjectId::from(named)),
        Some(named) => Err(Error::not_found("project", named)),
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Error> {
    let is_plain = name.trim() == name && !name.is_empty() && name.chars().count() <= 128;
    if is_plain && !name.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{what} {name:?} is none: expected 1 to 128 characters, no line feeds, no spaces at its ends"
    )))
}

/// Manages projects.
#[derive(Debug, Clone)]
pub struct ProjectManager {
    services: Arc<Services>,
    project: ProjectId,
}

impl ProjectManager {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Whether the caller looks after the installation, and sees all projects.
    fn sees_all(&self) -> bool {
        self.project == ProjectId::default_project()
    }

    /// Makes a project. Only the project `default` can.
    pub async fn create(&self, request: CreateProject) -> Result<Project, Error> {
        if !self.sees_all() {
            return Err(Error::Forbidden("only admins of the project `default` make projects".to_owned()));
        }
        let id = request.id;
        let starts = id.0.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let plain = id.0.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
        if !starts || !plain || id.0.len() > 64 {
            return Err(Error::invalid(format!(
                "`{id}` is no id for a project: expected 1 to 64 lower-case letters, digits, `-` and `_`, the last two not first"
            )));
        }
        let name = request.name.unwrap_or_else(|| id.0.clone());
        check_name("the project's name", &name)?;
        let project = Project { id, name, created_at: self.services.clock.now() };
        self.services.store.create_project(&project).await?;
        Ok(project)
    }

    /// Projects by id, behind the id `after`: all of them for callers of the project `default`, else the caller's own.
    pub async fn list(&self, after: Option<&str>, limit: u32) -> Result<Vec<Project>, Error> {
        if self.sees_all() {
            return Ok(self.services.store.list_projects(after, limit).await?);
        }
        let own = self.services.store.get_project(&self.project).await?;
        Ok(if after.is_some_and(|after| after >= own.id.as_str()) { Vec::new() } else { vec![own] })
    }

    /// One project.
    pub async fn get(&self, id: &str) -> Result<Project, Error> {
        let id = reach(&self.project, Some(id))?;
        Ok(self.services.store.get_project(&id).await?)
    }
}

/// The record of changes.
#[derive(Debug, Clone)]
pub struct AuditLog {
    services: Arc<Services>,
    project: ProjectId,
}

impl AuditLog {
    pub(crate) fn new(services: Arc<Services>, project: ProjectId) -> Self {
        Self { services, project }
    }

    /// Records of a project, else of the caller's, the newest first.
    pub async fn list(
        &self,
        project: Option<&str>,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, Error> {
        let project = reach(&self.project, project)?;
        Ok(self.services.store.list_audit(&project, filter, limit).await?)
    }
}
