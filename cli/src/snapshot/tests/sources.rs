//! What every source has to do, run on each of them; and sources that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use packnback_proto::ids::{NodeId, ObjectId, OwnerId};
use packnback_proto::limits::GET_IDS_MAX;
use packnback_proto::wire::frame::{FrameHead, HEAD_LEN, decode, encode_whole};
use packnback_proto::wire::ids::decode_ids;
use packnback_proto::wire::local::{API_VERSION, Hello, LocalReply, LocalRequest, Tagged};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::build::{Built, Shape, Way};
use crate::client::{Client, ClientError};
use crate::files::write_usual;
use crate::snapshot::{
    Dropped, Fault, Host, Many, ObjectSource, RawFolder, Remote, Snapshot, object_path, records_dir,
};

pub(super) type Objects = BTreeMap<ObjectId, Vec<u8>>;

/// Objects in memory, with the faults a source can have.
#[derive(Default)]
pub(super) struct Faulty {
    pub(super) objects: Objects,
    /// Given with a byte changed.
    pub(super) wrong: BTreeSet<ObjectId>,
    /// Questions after which it dies; `None`: never.
    pub(super) dies: Option<usize>,
    pub(super) asked: AtomicUsize,
}

impl Faulty {
    pub(super) fn with(objects: &Objects) -> Self {
        Self {
            objects: objects.clone(),
            ..Self::default()
        }
    }
}

impl ObjectSource for Faulty {
    fn records(&self, _: Option<OwnerId>) -> Result<Vec<Vec<u8>>, ClientError> {
        Ok(Vec::new())
    }

    fn get(&self, ids: &[ObjectId]) -> Result<Vec<Option<Vec<u8>>>, ClientError> {
        let before = self.asked.fetch_add(1, Ordering::SeqCst);
        if self.dies.is_some_and(|dies| before >= dies) {
            return Err(ClientError::Closed);
        }
        let object = |id: &ObjectId| {
            let mut bytes = self.objects.get(id).cloned()?;
            if self.wrong.contains(id) {
                bytes[20] ^= 1;
            }
            Some(bytes)
        };
        Ok(ids.iter().map(object).collect())
    }
}

/// A node at the other end of a connection that answers one kind of `Get`.
fn node(objects: Objects, is_remote: bool) -> (Client, JoinHandle<()>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let served = std::thread::spawn(move || {
        let (request, _) = read(&mut theirs).unwrap();
        assert!(matches!(request, LocalRequest::Hello { .. }));
        let hello = LocalReply::Hello(Hello {
            version: "test".into(),
            api: API_VERSION,
            node: NodeId([1; 32]),
            owner: None,
            listen: Vec::new(),
        });
        reply(&mut theirs, &hello, &[]);
        while let Some(((tag, request), body)) = read::<Tagged<LocalRequest>>(&mut theirs) {
            match request {
                LocalRequest::Get { remote } if remote == is_remote => {
                    for id in decode_ids(&body, GET_IDS_MAX).unwrap() {
                        let object = objects.get(&id);
                        let found = object.is_some();
                        let bytes = object.cloned().unwrap_or_default();
                        reply(
                            &mut theirs,
                            &(tag, LocalReply::Object { id, found }),
                            &bytes,
                        );
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    });
    (Client::over(ours).unwrap(), served)
}

fn read<T: DeserializeOwned>(stream: &mut UnixStream) -> Option<(T, Vec<u8>)> {
    let mut head = [0; HEAD_LEN];
    stream.read_exact(&mut head).ok()?;
    let head = FrameHead::parse(head).unwrap();
    let mut header = vec![0; head.header_len];
    stream.read_exact(&mut header).ok()?;
    let mut body = vec![0; head.body_len];
    stream.read_exact(&mut body).ok()?;
    Some((decode(&header).unwrap(), body))
}

fn reply<T: Serialize>(stream: &mut UnixStream, reply: &T, body: &[u8]) {
    stream
        .write_all(&encode_whole(reply, body).unwrap())
        .unwrap();
}

/// A snapshot with some of everything.
pub(super) fn sample() -> Built {
    let bits = (0..30).map(|n| (2000, (n % 7 != 3).then_some(n as u8)));
    let bits: Vec<_> = bits.collect();
    let mut paths = BTreeMap::from([(b"d".to_vec(), None)]);
    for (name, way) in [
        ("d/inline", Way::Inline),
        ("d/maps", Way::Maps),
        ("d/pack", Way::Pack),
    ] {
        paths.insert(name.into(), Some((way, bits.clone())));
    }
    for n in 0..20u8 {
        paths.insert(
            format!("d/small{n:02}").into(),
            Some((Way::Pack, vec![(100, Some(n))])),
        );
    }
    Built::new(&Shape {
        paths,
        wide: 4,
        deep: 1,
    })
}

/// What every source does that has these objects.
fn conforms(source: &dyn ObjectSource, objects: &Objects) {
    let absent = ObjectId([0xee; 32]);
    let mut ids: Vec<ObjectId> = objects.keys().copied().collect();
    ids.insert(1, absent);
    ids.push(ids[0]);
    assert!(ids.len() <= GET_IDS_MAX);
    let expected: Vec<Option<Vec<u8>>> = ids.iter().map(|id| objects.get(id).cloned()).collect();
    assert_eq!(
        source.get(&ids).unwrap(),
        expected,
        "in the order asked, twice what was asked twice"
    );
    assert!(source.get(&[]).unwrap().is_empty());
    // Several questions under way, taken in turn; one that nobody takes an answer from.
    let mut under_way: Vec<_> = ids.chunks(3).map(|ids| source.ask(ids).unwrap()).collect();
    drop(source.ask(&ids).unwrap());
    let mut half = source.ask(&ids).unwrap();
    assert_eq!(half.next().unwrap().unwrap(), expected[0]);
    drop(half);
    let mut found = Vec::new();
    for coming in &mut under_way {
        found.extend(coming.map(|object| object.unwrap()));
    }
    assert_eq!(found, expected);
    assert_eq!(source.get(&ids[..1]).unwrap(), expected[..1]);
    assert_eq!(source.again(&absent).unwrap(), None);
}

fn quiet<'a>() -> Dropped<'a> {
    Box::new(|_, _| {})
}

fn exported(objects: &Objects) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(records_dir(dir.path())).unwrap();
    write_usual(&records_dir(dir.path()).join("a.cbor"), b"record").unwrap();
    for (id, bytes) in objects {
        let path = object_path(dir.path(), *id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_usual(&path, bytes).unwrap();
    }
    dir
}

#[test]
fn every_source_conforms() {
    let built = sample();
    let objects = &built.objects;
    conforms(&built, objects);
    conforms(&Faulty::with(objects), objects);
    let dir = exported(objects);
    let folder = RawFolder::new(dir.path());
    conforms(&folder, objects);
    assert_eq!(folder.records(None).unwrap(), [b"record".to_vec()]);
    for is_remote in [false, true] {
        let (client, served) = node(objects.clone(), is_remote);
        if is_remote {
            conforms(&Remote(&client), objects);
        } else {
            conforms(&client, objects);
        }
        drop(client);
        served.join().unwrap();
    }
    let host = |name: &str, source: Faulty| Host {
        name: name.into(),
        source: Box::new(source),
    };
    let hosts = vec![
        host(
            "dead",
            Faulty {
                dies: Some(0),
                ..Faulty::default()
            },
        ),
        host("whole", Faulty::with(objects)),
    ];
    conforms(&Many::new(hosts, quiet()), objects);
}

/// Reads all that is in a snapshot.
pub(super) fn read_all(built: &Built, source: &dyn ObjectSource) -> Result<(), Fault> {
    let open = Snapshot::open(source, &built.keys, &built.snapshot)?;
    for (path, content) in &built.twin {
        let node = open.lookup(path)?;
        if let (Some(node), Some(content)) = (node, content) {
            let mut buf = vec![0; content.len()];
            let read = open.file(&node)?.read_at(0, &mut buf)?;
            assert_eq!((read, &buf), (content.len(), content), "{path:?}");
        }
    }
    Ok(())
}

/// Whatever is missing or wrong is named; what is read is right.
#[test]
fn the_fault_of_each_object_is_told() {
    let built = sample();
    read_all(&built, &Faulty::with(&built.objects)).unwrap();
    for id in built.objects.keys() {
        let mut lacks = Faulty::with(&built.objects);
        lacks.objects.remove(id);
        let fault = read_all(&built, &lacks).unwrap_err();
        assert!(
            matches!(fault, Fault::Missing(missing) if missing == *id),
            "{fault}"
        );
        let mut lies = Faulty::with(&built.objects);
        lies.wrong.insert(*id);
        let fault = read_all(&built, &lies).unwrap_err();
        assert!(matches!(fault, Fault::Bad(bad, _) if bad == *id), "{fault}");
    }
}

#[test]
fn a_source_that_dies_ends_the_reading_wherever_it_is() {
    let built = sample();
    let whole = Faulty::with(&built.objects);
    read_all(&built, &whole).unwrap();
    for dies in 0..whole.asked.into_inner() {
        let source = Faulty {
            dies: Some(dies),
            ..Faulty::with(&built.objects)
        };
        let fault = read_all(&built, &source).unwrap_err();
        assert!(matches!(fault, Fault::Source(_)), "{dies}: {fault}");
    }
}
