//! What a write does to records, and which record it is about, by its method and path.
//!
//! Pure. Never guesses: an id is read off a path only where the path is known to be that of one
//! record of the resource.

use http::Method;

use super::canonical::CanonicalPath;
use super::router::{GovernedRoute, Match, RouteTable};
use super::set::{Resource, Route};
use super::template::PathTemplate;

/// What a request does to the records of its resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Write {
    /// New ones.
    Created,
    /// Those that are there, changed.
    Updated,
    /// Some fewer.
    Deleted,
    /// Nothing: it is no write, whatever its method.
    Nothing,
}

impl Write {
    /// The last part of the built-in event, and the word in policy files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Deleted => "deleted",
            Self::Nothing => "none",
        }
    }
}

impl Resource {
    /// What a request by `method` on the route at `route` does. A write that has no events, since
    /// they are switched off, counts as nothing.
    #[must_use]
    pub fn write_of(&self, route: usize, method: &Method) -> Write {
        match self.routes.get(route) {
            Some(route) if !self.events.off => write_on(self.routes.iter(), route, method),
            Some(_) | None => Write::Nothing,
        }
    }

    fn is_served_at(&self, path: &PathTemplate) -> bool {
        let shape = path.shape();
        let templates =
            self.routes.iter().filter_map(|route| PathTemplate::parse(&route.path).ok());
        templates.into_iter().any(|template| template.shape() == shape)
    }
}

/// Whether a method can write at all.
pub(super) fn is_write(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method)
}

/// What a request by `method` on `route` does; `routes` are all of its resource.
pub(super) fn write_on<'r>(
    mut routes: impl Iterator<Item = &'r Route>,
    route: &Route,
    method: &Method,
) -> Write {
    if !is_write(method) {
        return Write::Nothing;
    }
    if let Some(write) = route.write {
        return write;
    }
    match *method {
        Method::DELETE => Write::Deleted,
        Method::POST => match PathTemplate::parse(&route.path) {
            // `/leads/{id}/` is a record, and `/deals/{id}/change_stage/` something done to one;
            // `/accounts/{id}/contacts/` that answers a list is a collection like any other.
            Ok(path) if path.ends_in_parameter() => Write::Updated,
            Ok(path) if path.has_parameters() && !routes.any(|route| lists_at(route, &path)) => {
                Write::Updated
            }
            Ok(_) | Err(_) => Write::Created,
        },
        _ => Write::Updated,
    }
}

/// Whether `route` answers `GET` on this path with a list.
fn lists_at(route: &Route, path: &PathTemplate) -> bool {
    route.methods.contains(&Method::GET)
        && !route.records.means_one_value()
        && PathTemplate::parse(&route.path).is_ok_and(|other| other.shape() == path.shape())
}

impl GovernedRoute {
    /// The parameters of the route's path and their values in `path`, decoded, in order. Empty
    /// where `path` is not one that the route matches.
    #[must_use]
    pub fn params(&self, path: &CanonicalPath) -> Vec<(String, String)> {
        let found = self.path().parameters(path).unwrap_or_default();
        found.into_iter().map(|(name, value)| (name.to_owned(), decoded(value))).collect()
    }

    /// The id of the one record that `path` is about: the last parameter, where it stands at the
    /// end (`/deals/{id}/`), or where what stands before is itself a route of the resource
    /// (`/deals/{id}/change_stage/`). `None` everywhere else: the parameter of
    /// `/accounts/{id}/contacts/` is the id of no contact.
    #[must_use]
    pub fn record_id(&self, path: &CanonicalPath) -> Option<String> {
        let template = self.path();
        let (_, value) = template.parameters(path)?.pop()?;
        let is_of_record = template.ends_in_parameter()
            || template.up_to_last_parameter().is_some_and(|up_to| {
                self.resource.is_served_at(&up_to)
                    && !self.resource.routes.iter().any(|route| lists_at(route, template))
            });
        (is_of_record && !value.is_empty()).then(|| decoded(value))
    }
}

impl RouteTable {
    /// Where the one record that `path` is about can be read, and the route that reads it.
    #[must_use]
    pub fn record_of(
        &self,
        route: &GovernedRoute,
        path: &CanonicalPath,
    ) -> Option<(CanonicalPath, GovernedRoute)> {
        route.record_id(path)?;
        let template = route.path();
        let path = if template.ends_in_parameter() {
            path.clone()
        } else {
            let depth =
                template.up_to_last_parameter()?.as_str().trim_matches('/').split('/').count();
            let text = path.as_str();
            let segments: Vec<&str> = text.trim_matches('/').split('/').take(depth).collect();
            let slash = if text.ends_with('/') { "/" } else { "" };
            {
                let cut = format!("/{}{slash}", segments.join("/"));
                CanonicalPath::parse(&cut).ok()?
            }
        };
        match self.find(&Method::GET, &path) {
            Match::Governed(found) if found.resource.name == route.resource.name => {
                Some((path, found))
            }
            Match::Governed(_)
            | Match::Passthrough { .. }
            | Match::MethodNotDeclared { .. }
            | Match::Suspicious { .. }
            | Match::Unmatched => None,
        }
    }

    /// Where the record of `resource` with this id is read, and the route that reads it. `None` where
    /// no route of the resource reads a record by its id alone, or where no path can name the id.
    #[must_use]
    pub fn record_by_id(&self, resource: &str, id: &str) -> Option<(CanonicalPath, GovernedRoute)> {
        let encoded = percent_encoding::utf8_percent_encode(id, OF_PATHS).to_string();
        let path = self.reading_routes(resource).find_map(|route| {
            let declared = route.declared()?;
            declared.records.means_one_value().then(|| route.path().with_value(&encoded))?
        })?;
        let path = CanonicalPath::parse(path).ok()?;
        match self.find(&Method::GET, &path) {
            Match::Governed(found)
                if found.resource.name == resource
                    && found.record_id(&path).as_deref() == Some(id) =>
            {
                Some((path, found))
            }
            Match::Governed(_)
            | Match::Passthrough { .. }
            | Match::MethodNotDeclared { .. }
            | Match::Suspicious { .. }
            | Match::Unmatched => None,
        }
    }

    /// The id that a `Location` tells: that of the record of `resource` whose route it is, if it
    /// is one. The host is not looked at, for CRMs name themselves by what they know.
    #[must_use]
    pub fn id_in_location(&self, resource: &str, location: &str) -> Option<String> {
        let path = location.split(['?', '#']).next()?;
        let path = match path.split_once("//") {
            // `https://crm/api/...` or `//crm/api/...`
            Some((scheme, rest)) if scheme.is_empty() || scheme.ends_with(':') => {
                rest.get(rest.find('/')?..)?
            }
            Some(_) | None => path,
        };
        let path = CanonicalPath::parse(path).ok()?;
        let route = self.routes_at(&path).find(|route| route.resource.name == resource)?;
        route.path().ends_in_parameter().then(|| route.record_id(&path)).flatten()
    }
}

/// Everything that cannot stand in a segment of a path as it is.
const OF_PATHS: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A segment as the CRM reads it.
fn decoded(segment: &str) -> String {
    let bytes = percent_encoding::percent_decode_str(segment);
    bytes.decode_utf8().map_or_else(|_| segment.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests;
