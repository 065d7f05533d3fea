//! The lead score, version 2: components, quality, recommendation, explanation.
//!
//! Pure: the record, its activities, the company's weights and the time are arguments.
