//! A store that cannot write: the CRM is left alone, or the gate says that it is not well.

use super::crm::Crm;
use super::gate::Home;
