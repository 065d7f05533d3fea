//! Which declared route a request is for.
//!
//! Pure. A path that a governed route's server might take for its own in another spelling is never
//! answered as "not ours": it is [`Match::Suspicious`], and no caller gets through with it.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use super::canonical::CanonicalPath;
use super::set::{PolicySet, Resource, Route};
use super::template::{PathTemplate, fold, without_extension};

/// What the policies say of one method and path.
#[derive(Debug, Clone)]
#[must_use = "an unread match is an ungoverned request"]
pub enum Match {
    /// A route of a resource.
    Governed(GovernedRoute),
    /// What is no API, by its declared template.
    Passthrough {
        /// The template, for logs and metrics.
        template: Arc<str>,
    },
    /// A governed path with a method that no policy declares: denied, whatever `unmatched` says.
    MethodNotDeclared {
        /// The template, for logs and metrics.
        template: Arc<str>,
    },
    /// Another spelling (case, extension, dots) of a governed path: denied, whatever `unmatched`
    /// says, for many servers would answer with the governed records.
    Suspicious {
        /// The template it comes close to.
        template: Arc<str>,
    },
    /// No policy knows it; the setting `unmatched` decides.
    Unmatched,
}

/// A declared route of a resource.
#[derive(Debug, Clone)]
pub struct GovernedRoute {
    /// The resource whose records the route serves.
    pub resource: Arc<Resource>,
    /// The route's place in [`Resource::routes`].
    pub route: usize,
    /// The path as declared; requests match it with and without the slash at the end.
    pub template: Arc<str>,
    path: Arc<PathTemplate>,
}

impl GovernedRoute {
    pub(super) fn path(&self) -> &PathTemplate {
        &self.path
    }
}

impl GovernedRoute {
    /// The route as the resource declares it.
    #[must_use]
    pub fn declared(&self) -> Option<&Route> {
        self.resource.routes.get(self.route)
    }
}

/// Two routes that the router cannot hold side by side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route `{path}` cannot be told apart from `{with}`")]
pub struct RouteConflict {
    /// The path that did not fit.
    pub path: String,
    /// What it collides with.
    pub with: String,
}

/// Every declared route, ready to be asked.
#[derive(Debug, Default)]
pub struct RouteTable {
    governed: Vec<GovernedPath>,
    open: Vec<OpenPath>,
    governed_router: matchit::Router<usize>,
    open_router: matchit::Router<usize>,
    /// The governed paths once more, as a careless server reads them.
    folded_router: matchit::Router<usize>,
}

/// One path shape and who answers which method on it.
#[derive(Debug)]
struct GovernedPath {
    path: PathTemplate,
    template: Arc<str>,
    methods: Vec<(Method, GovernedRoute)>,
}

#[derive(Debug)]
struct OpenPath {
    path: PathTemplate,
    template: Arc<str>,
    methods: Vec<Method>,
}

impl RouteTable {
    /// The table of a checked set.
    ///
    /// # Errors
    /// Two routes collide. The reader of policies has refused such a set already.
    pub fn new(set: &PolicySet) -> Result<Self, RouteConflict> {
        let mut table = Self::default();
        let mut by_shape = HashMap::new();
        for resource in set.resources.values() {
            for (index, route) in resource.routes.iter().enumerate() {
                let path = parse(&route.path)?;
                let template: Arc<str> = path.as_str().into();
                let own_path = Arc::new(path.clone());
                let known = *by_shape.entry(path.shape()).or_insert(table.governed.len());
                if known == table.governed.len() {
                    insert_governed(&mut table.governed_router, &path, known)?;
                    insert_folded(&mut table.folded_router, &path, known);
                    let template = Arc::clone(&template);
                    table.governed.push(GovernedPath { path, template, methods: Vec::new() });
                }
                let Some(governed) = table.governed.get_mut(known) else { continue };
                for method in &route.methods {
                    if governed.methods.iter().any(|(declared, _)| declared == method) {
                        return Err(RouteConflict {
                            path: format!("{method} {template}"),
                            with: format!("{method} {}", governed.template),
                        });
                    }
                    let resource = Arc::clone(resource);
                    let template = Arc::clone(&template);
                    let path = Arc::clone(&own_path);
                    let target = GovernedRoute { resource, route: index, template, path };
                    governed.methods.push((method.clone(), target));
                }
            }
        }
        table.add_passthrough(set)?;
        Ok(table)
    }

    fn add_passthrough(&mut self, set: &PolicySet) -> Result<(), RouteConflict> {
        let mut by_shape = HashMap::new();
        for entry in &set.global.passthrough {
            let path = parse(&entry.path)?;
            let known = *by_shape.entry(path.shape()).or_insert(self.open.len());
            if known == self.open.len() {
                insert_governed(&mut self.open_router, &path, known)?;
                let template: Arc<str> = path.as_str().into();
                self.open.push(OpenPath { path, template, methods: Vec::new() });
            }
            if let Some(open) = self.open.get_mut(known) {
                open.methods.extend(entry.methods.iter().cloned());
            }
        }
        Ok(())
    }

    /// What the policies say of a request. `HEAD` is answered under the `GET` route.
    pub fn find(&self, method: &Method, path: &CanonicalPath) -> Match {
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        let open = at(&self.open_router, &self.open, path.as_str())
            .filter(|open| open.methods.contains(method));
        if let Some(governed) = at(&self.governed_router, &self.governed, path.as_str()) {
            return governed.decide(method, open);
        }
        if let Some(near) = self.governed_in_another_spelling(path) {
            return Match::Suspicious { template: Arc::clone(&near.template) };
        }
        open.map_or(Match::Unmatched, OpenPath::as_match)
    }

    /// Every declared route that this path belongs to, whatever the method.
    pub(super) fn routes_at(&self, path: &CanonicalPath) -> impl Iterator<Item = &GovernedRoute> {
        let governed = at(&self.governed_router, &self.governed, path.as_str());
        governed.into_iter().flat_map(|governed| governed.methods.iter().map(|(_, route)| route))
    }

    /// Every route on which records of a resource are read.
    pub(super) fn reading_routes(&self, resource: &str) -> impl Iterator<Item = &GovernedRoute> {
        let routes = self.governed.iter().flat_map(|governed| &governed.methods);
        routes.filter_map(move |(method, route)| {
            (*method == Method::GET && route.resource.name == resource).then_some(route)
        })
    }

    fn governed_in_another_spelling(&self, path: &CanonicalPath) -> Option<&GovernedPath> {
        let folded = fold(path);
        at(&self.folded_router, &self.governed, &folded).or_else(|| {
            let stem = without_extension(&folded)?;
            at(&self.folded_router, &self.governed, stem)
        })
    }
}

impl GovernedPath {
    fn decide(&self, method: &Method, open: Option<&OpenPath>) -> Match {
        let declared = self.methods.iter().find(|(declared, _)| declared == method);
        match (declared, open) {
            // A passthrough entry counts inside a governed path only where it is the narrower one.
            (_, Some(open)) if self.path.covers(&open.path) && !open.path.covers(&self.path) => {
                open.as_match()
            }
            (Some((_, route)), _) => Match::Governed(route.clone()),
            // A CORS preflight carries no record.
            (None, Some(open)) if *method == Method::OPTIONS => open.as_match(),
            (None, _) => Match::MethodNotDeclared { template: Arc::clone(&self.template) },
        }
    }
}

impl OpenPath {
    fn as_match(&self) -> Match {
        Match::Passthrough { template: Arc::clone(&self.template) }
    }
}

fn parse(path: &str) -> Result<PathTemplate, RouteConflict> {
    PathTemplate::parse(path)
        .map_err(|fault| RouteConflict { path: path.to_owned(), with: fault.message })
}

fn at<'t, T>(router: &matchit::Router<usize>, values: &'t [T], path: &str) -> Option<&'t T> {
    values.get(*router.at(path).ok()?.value)
}

/// Both spellings of the slash at the end lead to the same entry.
fn insert_governed(
    router: &mut matchit::Router<usize>,
    path: &PathTemplate,
    index: usize,
) -> Result<(), RouteConflict> {
    let conflict = |error: matchit::InsertError| RouteConflict {
        path: path.as_str().to_owned(),
        with: collides_with(&error),
    };
    let shape = path.shape();
    let with_slash = format!("{shape}/");
    let only_one_spelling = path.takes_everything_below() || shape == "/";
    router.insert(shape, index).map_err(conflict)?;
    if !only_one_spelling {
        router.insert(with_slash, index).map_err(conflict)?;
    }
    Ok(())
}

/// Two paths that differ by case alone fold into one; either is a good reason to be suspicious.
fn insert_folded(router: &mut matchit::Router<usize>, path: &PathTemplate, index: usize) {
    let _ = router.insert(path.folded().shape(), index);
}

fn collides_with(error: &matchit::InsertError) -> String {
    match error {
        matchit::InsertError::Conflict { with } => {
            with.trim_end_matches('/').replace("{p}", "{...}")
        }
        other => other.to_string(),
    }
}

/// The first path of `paths` that the router could not tell apart from one before it, by place.
pub(super) fn first_conflicts<'p>(
    paths: impl IntoIterator<Item = &'p PathTemplate>,
) -> Vec<(usize, RouteConflict)> {
    let mut router = matchit::Router::new();
    let mut shapes = std::collections::HashSet::new();
    let mut conflicts = Vec::new();
    for (index, path) in paths.into_iter().enumerate() {
        if shapes.insert(path.shape())
            && let Err(conflict) = insert_governed(&mut router, path, index)
        {
            conflicts.push((index, conflict));
        }
    }
    conflicts
}

#[cfg(test)]
mod tests;
