//! Invented persons: a number gives a name, an address, a phone and a social security number, and
//! no two numbers below 80,000 give the same.

use super::pick;

/// As written, and as it stands in an e-mail address.
type Name = (&'static str, &'static str);

const FIRST: [Name; 40] = [
    ("Zoë", "zoe"),
    ("José", "jose"),
    ("Łukasz", "lukasz"),
    ("Søren", "soren"),
    ("Amélie", "amelie"),
    ("Jürgen", "jurgen"),
    ("İpek", "ipek"),
    ("Thảo", "thao"),
    ("Siân", "sian"),
    ("明美", "akemi"),
    ("伟", "wei"),
    ("소연", "soyeon"),
    ("さくら", "sakura"),
    ("Дмитрий", "dmitri"),
    ("Олена", "olena"),
    ("Ελένη", "eleni"),
    ("ليلى", "layla"),
    ("نور", "nour"),
    ("נועה", "noa"),
    ("איתן", "eitan"),
    ("अनन्या", "ananya"),
    ("สมชาย", "somchai"),
    ("თამარ", "tamar"),
    ("Robin 🦊", "robin"),
    ("Kim 🌻", "kim"),
    ("D'Arcy", "darcy"),
    ("Mary-Jane", "maryjane"),
    ("Ana \"Nina\"", "ana"),
    ("Grace", "grace"),
    ("Oliver", "oliver"),
    ("Fatima", "fatima"),
    ("Kwame", "kwame"),
    ("Ingrid", "ingrid"),
    ("Mateo", "mateo"),
    ("Aroha", "aroha"),
    ("Tomás", "tomas"),
    ("Márta", "marta"),
    ("Yusuf", "yusuf"),
    ("Wren", "wren"),
    ("Idris", "idris"),
];

const LAST: [Name; 47] = [
    ("Okafor", "okafor"),
    ("Lindqvist", "lindqvist"),
    ("Brückner", "bruckner"),
    ("O'Malley", "omalley"),
    ("García-Núñez", "garcianunez"),
    ("Żeromska", "zeromska"),
    ("Thorvaldsson", "thorvaldsson"),
    ("Dvořáková", "dvorakova"),
    ("中川", "nakagawa"),
    ("佐藤", "sato"),
    ("山本", "yamamoto"),
    ("김", "gim"),
    ("Соколова", "sokolova"),
    ("Шевчук", "shevchuk"),
    ("Παπαδάκη", "papadaki"),
    ("الحداد", "alhaddad"),
    ("منصور", "mansour"),
    ("שלו", "shalev"),
    ("शर्मा", "sharma"),
    ("Venkataraman", "venkataraman"),
    ("Achterberg", "achterberg"),
    ("Beaumont", "beaumont"),
    ("Castellanos", "castellanos"),
    ("Delacroix", "delacroix"),
    ("Eriksen", "eriksen"),
    ("Fitzwilliam", "fitzwilliam"),
    ("Gundersen", "gundersen"),
    ("Hollenbeck", "hollenbeck"),
    ("Ibarra", "ibarra"),
    ("Jankowski", "jankowski"),
    ("Kowalczyk", "kowalczyk"),
    ("Lefèvre", "lefevre"),
    ("Mwangi", "mwangi"),
    ("Nordström", "nordstrom"),
    ("Oyelaran", "oyelaran"),
    ("Pellegrini", "pellegrini"),
    ("Quispe", "quispe"),
    ("Rasmussen", "rasmussen"),
    ("Szabó", "szabo"),
    ("Taufa", "taufa"),
    ("Uzun", "uzun"),
    ("Vasquez", "vasquez"),
    ("Whitcombe", "whitcombe"),
    ("Xiong", "xiong"),
    ("Yıldız", "yildiz"),
    ("Zamora", "zamora"),
    ("Abernathy", "abernathy"),
];

/// How many numbers there are before a pair of names would come again: 40 times 47, which works
/// because 41 and 47 share no factor.
const PAIRS: u64 = 40 * 47;

/// One invented person.
pub(super) struct Person {
    number: u64,
    first: Name,
    last: Name,
}

impl Person {
    pub(super) fn numbered(number: u64) -> Self {
        Self { number, first: pick(FIRST, number), last: pick(LAST, number + number / 40) }
    }

    pub(super) fn first_name(&self) -> &'static str {
        self.first.0
    }

    /// Whoever would share both names with an earlier person has a double-barrelled one.
    pub(super) fn last_name(&self) -> String {
        match self.number / PAIRS {
            0 => self.last.0.to_owned(),
            round => format!("{}-{}", self.last.0, pick(LAST, round - 1 + self.number).0),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("{} {}", self.first_name(), self.last_name())
    }

    pub(super) fn email(&self, domain: &str) -> String {
        format!("{}.{}{}@{domain}", self.first.1, self.last.1, self.number)
    }

    /// A second address, which is no part of the first.
    pub(super) fn private_email(&self) -> String {
        format!("{}.{}.private@example.org", self.last.1, self.number)
    }

    /// 555-0100 to 555-0199 are kept free for fiction in every area.
    pub(super) fn phone(&self) -> String {
        let area = 200 + self.number / 100 % 800;
        format!("+1-{area}-555-01{:02}", self.number % 100)
    }

    /// Numbers from 900 on are never given; groups below 50 are no tax numbers either.
    pub(super) fn ssn(&self) -> String {
        let area = 900 + self.number % 100;
        let group = 1 + self.number / 100 % 49;
        let serial = 1_000 + self.number * 37 % 9_000;
        format!("{area}-{group:02}-{serial}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_persons_share_anything() {
        let mut seen = HashSet::new();
        for number in 0..80_000 {
            let person = Person::numbered(number);
            for value in [
                person.name(),
                person.email("example.com"),
                person.private_email(),
                person.phone(),
                person.ssn(),
            ] {
                assert!(seen.insert(value.clone()), "{value} again for {number}");
            }
        }
    }
}
