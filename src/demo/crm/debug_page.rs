//! The page that Django shows under `DEBUG = True` when a view fails.
//!
//! Pure. It tells far too much on purpose, as the real one does: the request, and in the local
//! variables of the frames the records that were at hand.

use http::HeaderMap;

use super::filter::WrongType;
use super::value::Value;

/// How many records the representation of a query set shows.
const SHOWN: usize = 20;

/// The request that failed.
pub(super) struct FailedRequest<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) url: &'a str,
    pub(super) headers: &'a HeaderMap,
}

/// The page for a filter value that could not be compared with a number.
pub(super) fn debug_page<'a>(
    request: &FailedRequest<'_>,
    wrong: &WrongType,
    records: impl Iterator<Item = &'a Value>,
) -> String {
    let field = escape(&wrong.field);
    let value = escape(&wrong.value);
    let message =
        format!("Field &#x27;{field}&#x27; expected a number but got &#x27;{value}&#x27;.");
    let path = escape(request.path);
    let queryset: Vec<String> =
        records.take(SHOWN).map(|record| escape(&record.to_string())).collect();
    let queryset = queryset.join(", ");
    let headers: String = request.headers.iter().map(header_row).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>ValueError at {path}</title></head>\n\
         <body>\n<h1>ValueError at {path}</h1>\n<pre class=\"exception_value\">{message}</pre>\n\
         <table class=\"meta\">\n\
         <tr><th>Request Method:</th><td>{method}</td></tr>\n\
         <tr><th>Request URL:</th><td>{url}</td></tr>\n\
         <tr><th>Exception Type:</th><td>ValueError</td></tr>\n\
         <tr><th>Exception Location:</th><td>crm/filters.py, line 118, in get_prep_value</td></tr>\n\
         </table>\n\
         <h2>Traceback <span>(innermost last)</span></h2>\n<ul class=\"traceback\">\n\
         <li><code>crm/views.py</code> in <code>list</code>\n\
         <pre>    queryset = self.filter_queryset(self.get_queryset())</pre>\n\
         <table class=\"vars\"><tr><td>queryset</td><td class=\"code\"><pre>\
         &lt;QuerySet [{queryset}, &#x27;...(remaining elements truncated)...&#x27;]&gt;\
         </pre></td></tr></table></li>\n\
         <li><code>crm/filters.py</code> in <code>get_prep_value</code>\n\
         <pre>    return Decimal(value)</pre>\n\
         <table class=\"vars\"><tr><td>value</td><td class=\"code\"><pre>&#x27;{value}&#x27;</pre>\
         </td></tr></table></li>\n</ul>\n\
         <h2 id=\"meta-info\">META</h2>\n<table class=\"req\">\n{headers}</table>\n\
         <p>You’re seeing this error because you have <code>DEBUG = True</code> in your settings \
         file.</p>\n</body>\n</html>\n",
        method = escape(request.method),
        url = escape(request.url),
    )
}

/// Django starts what it takes for a secret, and shows the rest.
fn header_row((name, value): (&http::HeaderName, &http::HeaderValue)) -> String {
    let secret = ["auth", "token", "key", "secret", "cookie"];
    let shown = if secret.iter().any(|word| name.as_str().contains(word)) {
        "********************".to_owned()
    } else {
        escape(&String::from_utf8_lossy(value.as_bytes()))
    };
    let name = name.as_str().to_uppercase().replace('-', "_");
    format!("<tr><td>HTTP_{}</td><td class=\"code\"><pre>{shown}</pre></td></tr>\n", escape(&name))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}
