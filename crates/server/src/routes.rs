//! Handlers at the paths that they document.
//!
//! The document of the API takes some milliseconds and megabytes to make, and most processes never show it. So a route says
//! how it is described, and is described only when somebody asks.

use axum::Router;
use axum::routing::MethodRouter;
use llmops::LlmOps;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// The handlers of one path. Made by [`routes!`].
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) methods: MethodRouter<LlmOps>,
    pub(crate) describe: fn() -> UtoipaMethodRouter<LlmOps>,
}

/// Routes, and how they are described.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<LlmOps>,
    descriptions: Vec<fn() -> UtoipaMethodRouter<LlmOps>>,
}

impl Routes {
    /// None so far.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds the handlers of a path.
    pub(crate) fn routes(mut self, route: Route) -> Self {
        self.router = self.router.route(&route.path, route.methods);
        self.descriptions.push(route.describe);
        self
    }

    /// Adds those of another resource.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.descriptions.extend(other.descriptions);
        self
    }

    /// What serves them.
    pub(crate) fn into_router(self) -> Router<LlmOps> {
        self.router
    }

    /// Adds what they say of themselves to a document.
    pub(crate) fn describe(self, document: OpenApi) -> OpenApi {
        let described = OpenApiRouter::with_openapi(document);
        let described = self.descriptions.into_iter().fold(described, |router, describe| router.routes(describe()));
        described.into_openapi()
    }
}

/// A [`Route`] of handlers that have the path of the first one, each documented by `#[utoipa::path]`.
macro_rules! routes {
    ($first:ident $(, $more:ident)* $(,)?) => {
        utoipa_axum::paste! {{
            use utoipa_axum::PathItemExt as _;
            let methods = axum::routing::MethodRouter::new();
            $crate::routes::routes!(@on methods, $first);
            $($crate::routes::routes!(@on methods, $more);)*
            $crate::routes::Route {
                path: <[<__path_ $first>] as utoipa::Path>::path(),
                methods,
                describe: || utoipa_axum::routes!($first $(, $more)*),
            }
        }}
    };
    (@on $methods:ident, $handler:ident) => {
        utoipa_axum::paste! {
            let kinds = <[<__path_ $handler>] as utoipa::Path>::methods();
            let $methods = kinds.iter().fold($methods, |all, kind| all.on(kind.to_method_filter(), $handler));
        }
    };
}
pub(crate) use routes;
