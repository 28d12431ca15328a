//! Many hosts: what one lacks, lies about or no longer says, another gives.

use std::sync::atomic::Ordering;

use packnback_proto::ids::ObjectId;
use parking_lot::Mutex;

use super::sources::{Faulty, Objects, read_all, sample};
use crate::snapshot::{Fault, Host, Many, ObjectSource};

fn host<'a>(name: &str, source: &'a Faulty) -> Host<'a> {
    struct Shared<'a>(&'a Faulty);
    impl ObjectSource for Shared<'_> {
        fn records(
            &self,
            owner: Option<packnback_proto::ids::OwnerId>,
        ) -> Result<Vec<Vec<u8>>, crate::client::ClientError> {
            self.0.records(owner)
        }

        fn get(
            &self,
            ids: &[ObjectId],
        ) -> Result<Vec<Option<Vec<u8>>>, crate::client::ClientError> {
            self.0.get(ids)
        }
    }
    Host {
        name: name.into(),
        source: Box::new(Shared(source)),
    }
}

/// Reads everything from these; who was dropped, as they were told.
fn read(hosts: &[(&str, &Faulty)], told: &Mutex<Vec<String>>) -> (Result<(), Fault>, Vec<String>) {
    let built = sample();
    let listed = hosts
        .iter()
        .map(|(name, source)| host(name, source))
        .collect();
    let many = Many::new(
        listed,
        Box::new(|name, _| told.lock().push(name.to_owned())),
    );
    let read = read_all(&built, &many);
    (read, many.gone())
}

fn every(objects: &Objects, nth: usize, of: usize) -> Vec<ObjectId> {
    let ids = objects.keys().enumerate();
    ids.filter(|(n, _)| n % of == nth)
        .map(|(_, id)| *id)
        .collect()
}

#[test]
fn what_one_lacks_another_gives_and_nobody_is_blamed() {
    let built = sample();
    let (mut first, mut second) = (Faulty::with(&built.objects), Faulty::with(&built.objects));
    for id in every(&built.objects, 0, 2) {
        first.objects.remove(&id);
    }
    for id in every(&built.objects, 1, 2) {
        second.objects.remove(&id);
    }
    let told = Mutex::default();
    let (read, gone) = read(&[("first", &first), ("second", &second)], &told);
    read.unwrap();
    assert_eq!((gone, told.into_inner()), (Vec::new(), Vec::new()));
}

#[test]
fn who_serves_a_wrong_byte_is_named_once_and_not_asked_again() {
    let built = sample();
    let mut liar = Faulty::with(&built.objects);
    liar.wrong.extend(every(&built.objects, 2, 3));
    let honest = Faulty::with(&built.objects);
    let told = Mutex::default();
    let (result, gone) = read(&[("liar", &liar), ("honest", &honest)], &told);
    result.unwrap();
    assert_eq!(gone, ["liar"]);
    assert_eq!(told.into_inner(), ["liar"]);
    // The first lie was the last thing it was asked.
    let all = Faulty::with(&built.objects);
    read_all(&built, &all).unwrap();
    assert!(liar.asked.load(Ordering::SeqCst) < all.asked.load(Ordering::SeqCst));
}

#[test]
fn who_dies_at_any_time_is_replaced() {
    let built = sample();
    for dies in [0, 1, 2, 5, 9] {
        let mortal = Faulty {
            dies: Some(dies),
            ..Faulty::with(&built.objects)
        };
        let other = Faulty::with(&built.objects);
        let told = Mutex::default();
        let (result, gone) = read(&[("mortal", &mortal), ("other", &other)], &told);
        result.unwrap();
        assert_eq!(
            (gone, told.into_inner()),
            (vec!["mortal".into()], vec!["mortal".to_owned()])
        );
    }
}

#[test]
fn what_nobody_has_is_missing_and_when_nobody_is_left_that_is_told() {
    let built = sample();
    let lost = every(&built.objects, 5, 9)[0];
    let mut lacks = Faulty::with(&built.objects);
    lacks.objects.remove(&lost);
    let mut lies = Faulty::with(&built.objects);
    lies.wrong.insert(lost);
    let told = Mutex::default();
    let (result, gone) = read(&[("lacks", &lacks), ("lies", &lies)], &told);
    assert!(matches!(result, Err(Fault::Missing(id)) if id == lost));
    assert_eq!(gone, ["lies"]);
    let dead = Faulty {
        dies: Some(3),
        ..Faulty::default()
    };
    let (result, gone) = read(&[("dead", &dead), ("liar", &lies)], &told);
    assert!(result.is_err());
    assert!(gone.contains(&"liar".to_owned()));
}
