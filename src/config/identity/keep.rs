//! How answers of another server are kept: `ttl`, `negative_ttl`, `timeout`.

use std::time::Duration;

use crate::config::section::Section;
use crate::config::settings::Keep;
use crate::config::value;

pub(super) fn read(at: &mut Section<'_, '_, '_>, usual_ttl: Duration) -> Keep {
    let kept = || value::duration(Duration::ZERO..=Keep::LONGEST);
    Keep {
        ttl: at.or("ttl", kept(), usual_ttl),
        negative_ttl: at.or("negative_ttl", kept(), Keep::NEGATIVE),
        timeout: at.or("timeout", value::timeout, Keep::TIMEOUT),
    }
}
