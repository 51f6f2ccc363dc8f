//! The roster: every member this node knows of, as a value that takes what was seen and says what follows.
//!
//! Nothing here waits, reads a clock or touches a socket. SWIM's picture comes in whole ([`Roster::observe`]), not as single
//! events: the picture is level, so a lost or reordered event cannot leave a wrong status behind. The rules are those of
//! protocol 2 and 3: the highest incarnation of a name counts; LEFT only after `leaving`; known are all that have not LEFT
//! or been forgotten; placement members are those that serve, and those that stopped less than `rebalance_delay` ago.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::admission::{self, Requirements};
use crate::book::{Book, Entry, Gone, MEMBERS_MAX};
use crate::metadata::{ClusterId, Metadata, Phase};
use crate::swim::Peer;

/// One moment, on the clock that never jumps and on the one people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// CLOCK_BOOTTIME milliseconds: decides.
    pub boot_ms: u64,
    /// Unix milliseconds: is shown.
    pub unix_ms: i64,
}

/// What is fixed for the life of the process.
#[derive(Debug, Clone)]
pub struct Own {
    /// This node's name.
    pub name: String,
    /// Shards of the cluster.
    pub num_shards: u32,
    /// How long a member that stopped serving keeps its shards.
    pub rebalance_delay_ms: u64,
    /// The last incarnation that this node's disk knows of; 0: none.
    pub previous: u64,
}

/// How SWIM sees a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Answers.
    Alive,
    /// Does not answer; may come back.
    Dead,
    /// Went for good.
    Gone(Gone),
}

/// One member.
#[derive(Debug, Clone)]
pub struct Member {
    /// The highest incarnation seen.
    pub incarnation: u64,
    /// Its last description.
    pub metadata: Metadata,
    /// Its SWIM address.
    pub address: SocketAddr,
    /// As SWIM sees it.
    pub standing: Standing,
    /// Our own last ping failed.
    pub ping_failed: bool,
    /// Unix milliseconds since when it has its status.
    pub since_unix_ms: i64,
    /// Its store has served at some time.
    pub served: bool,
    /// When it stopped serving, if it did.
    pub stopped_boot_ms: Option<u64>,
    /// It went while this process watched: still shown as LEFT.
    pub seen_going: bool,
}

impl Member {
    fn new(incarnation: u64, metadata: Metadata, address: SocketAddr, now: Now) -> Member {
        Member {
            incarnation,
            metadata,
            address,
            standing: Standing::Dead,
            ping_failed: false,
            since_unix_ms: now.unix_ms,
            served: false,
            stopped_boot_ms: None,
            seen_going: false,
        }
    }

    /// Known: has not LEFT and is not forgotten.
    pub fn known(&self) -> bool {
        !matches!(self.standing, Standing::Gone(_))
    }

    /// SWIM says it answers.
    pub fn alive(&self) -> bool {
        self.standing == Standing::Alive
    }

    /// Its store serves: it answers and says so. A draining member keeps its shards, if it ever had any.
    fn serving(&self) -> bool {
        self.alive()
            && match self.metadata.phase {
                Phase::Serving => true,
                Phase::Draining => self.served,
                Phase::Joining | Phase::Stopping | Phase::Leaving | Phase::Left => false,
            }
    }

    fn stand(&mut self, standing: Standing, now: Now) {
        if self.standing != standing {
            self.standing = standing;
            self.since_unix_ms = now.unix_ms;
            self.ping_failed = false;
        }
        self.note_serving(now);
    }

    fn note_serving(&mut self, now: Now) {
        if self.serving() {
            self.served = true;
            self.stopped_boot_ms = None;
        } else if self.served && self.stopped_boot_ms.is_none() {
            self.stopped_boot_ms = Some(now.boot_ms);
        }
    }

    /// How it stands by what it says of itself and by whether it answers. Only who handed everything over has LEFT: one that
    /// goes in the middle of it may still be the only one that holds something.
    fn seen(&self, alive: bool) -> Standing {
        match (self.metadata.phase, alive) {
            (Phase::Left, _) => Standing::Gone(Gone::Left),
            (_, true) => Standing::Alive,
            (_, false) => Standing::Dead,
        }
    }

    /// A new process of the name. After one that was gone for good it starts like a member that never was here.
    fn start_anew(&mut self, incarnation: u64) {
        self.incarnation = incarnation;
        if !self.known() {
            self.served = false;
            self.stopped_boot_ms = None;
        }
    }
}

/// Why a member cannot be forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotForget {
    /// Nobody of that name is known.
    #[error("no member is called {0:?}: `stemedb members` lists the names")]
    Unknown(String),
    /// It answers.
    #[error("{0} is UP: stop it first; only a member that is DOWN can be forgotten")]
    Up(String),
    /// It is this node.
    #[error("{0} is the node that was asked: ask another member to forget it")]
    Own(String),
    /// It is forgotten, but not on the disk.
    #[error(
        "{0} is forgotten, but the list without it cannot be written here: a restart before it can be knows {0} again; the log says what \
         is wrong with the disk"
    )]
    Disk(String),
}

/// Why this node cannot leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotLeave {
    /// There is nobody to hand anything to.
    #[error(
        "{0} is the last member: everything would be lost. To end the cluster, stop it and delete its data directory"
    )]
    Last(String),
    /// The others do not serve.
    #[error(
        "{0} has nobody to hand its records to: no other member serves now. Start one, then ask again"
    )]
    NobodyServes(String),
    /// Records would have fewer copies than they shall.
    #[error(
        "{staying} other members serve, and every record shall be on {factor}: without {name} records are on fewer nodes than \
         that. Add a node first (`stemedb local add`), or ask with force"
    )]
    TooFew {
        /// This node.
        name: String,
        /// Members that serve and stay.
        staying: usize,
        /// Copies that every record shall have.
        factor: u32,
    },
}

/// How many copies there are, as members may have been set to different numbers (docs/adr/0016-changing-the-factor.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Factors {
    /// The lowest setting: somebody may acknowledge with no more.
    pub least: u32,
    /// The highest: so many every record shall have.
    pub most: u32,
    /// What was acknowledged with fewer is in each of the stores; 0: none of them says anything yet.
    pub counted: u32,
}

/// Every member this node knows of.
#[derive(Debug, Clone)]
pub struct Roster {
    own: Own,
    incarnation: u64,
    cluster_id: Option<ClusterId>,
    members: BTreeMap<String, Member>,
    refused: BTreeMap<String, String>,
    /// Another process with our name and a higher incarnation that answers SWIM.
    rival: Option<Peer>,
    superseded: bool,
    /// The highest incarnation of our own name that the cluster has on record and that we have to exceed.
    own_on_record: Option<u64>,
    /// The highest incarnation of our own name that the cluster has on record as gone for good, or that our disk does not know of.
    own_gone: Option<u64>,
    /// Our own name is on record as that of a member which had shards and is not gone.
    own_had_place: bool,
    /// Whose books were read.
    heard_from: BTreeSet<String>,
}

impl Roster {
    /// Starts from what the disk has. Members that were known and are not seen yet count as just stopped.
    pub fn new(own: Own, metadata: Metadata, address: SocketAddr, saved: Book, now: Now) -> Roster {
        let incarnation = metadata.incarnation;
        let mut roster = Roster {
            incarnation,
            cluster_id: metadata.cluster_id,
            members: BTreeMap::new(),
            refused: BTreeMap::new(),
            rival: None,
            superseded: false,
            own_on_record: None,
            own_gone: None,
            own_had_place: false,
            heard_from: BTreeSet::new(),
            own,
        };
        for (name, entry) in saved.members {
            let mut member = Member::new(entry.incarnation, entry.metadata, entry.address, now);
            member.served = entry.served;
            member.standing = entry.gone.map_or(Standing::Dead, Standing::Gone);
            member.note_serving(now);
            roster.members.insert(name, member);
        }
        let served = roster
            .members
            .get(&roster.own.name)
            .is_some_and(|before| before.served && before.known());
        let mut member = Member::new(incarnation, metadata, address, now);
        member.served = served;
        member.stand(Standing::Alive, now);
        roster.members.insert(roster.own.name.clone(), member);
        roster
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.own.name
    }

    /// What is fixed.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// This process's incarnation.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The cluster this node belongs to.
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster_id
    }

    /// Members by name: the known ones and those that are gone.
    pub fn members(&self) -> &BTreeMap<String, Member> {
        &self.members
    }

    /// The known members by name, this node included.
    pub fn known(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.members.iter().filter(|(_, member)| member.known())
    }

    /// The other known members that have or had shards.
    pub fn placed_others(&self) -> impl Iterator<Item = (&String, &Member)> {
        self.known()
            .filter(|(name, member)| member.served && **name != self.own.name)
    }

    /// Members refused, for people.
    pub fn refused(&self) -> impl Iterator<Item = &String> {
        self.refused.values()
    }

    /// Another process of our name is the one that counts.
    pub fn superseded(&self) -> bool {
        self.superseded || self.rival.is_some()
    }

    /// The process that has our name and a higher incarnation, to be pinged like a member.
    pub fn rival(&self) -> Option<&Peer> {
        self.rival.as_ref()
    }

    /// What a peer has to fulfil.
    pub fn requirements(&self) -> Requirements {
        Requirements {
            num_shards: self.own.num_shards,
            cluster_id: self.cluster_id,
        }
    }

    /// The incarnation this process has to take to be counted again: the cluster has our name on record as forgotten, or
    /// under a higher incarnation that nobody answers for (a wiped disk and a clock set back).
    pub fn must_exceed(&self) -> Option<u64> {
        self.own_on_record.filter(|_| !self.superseded())
    }

    /// The highest incarnation of this name that this process and its disk had no part in: it was declared gone, or the disk is older.
    pub fn own_gone(&self) -> Option<u64> {
        self.own_gone
    }

    /// The others have this name on record as that of a member which had shards and is not gone.
    pub fn own_had_place(&self) -> bool {
        self.own_had_place
    }

    /// Whether this member's book was read.
    pub fn heard_from(&self, name: &str) -> bool {
        self.heard_from.contains(name)
    }

    /// Takes this node's own description.
    pub fn describe_own(&mut self, metadata: Metadata, now: Now) {
        let joined = self.cluster_id != metadata.cluster_id;
        self.cluster_id = metadata.cluster_id;
        let own = self
            .members
            .get_mut(&self.own.name)
            .expect("a roster always has its own member");
        own.metadata = metadata;
        own.note_serving(now);
        if joined {
            self.drop_strangers();
        }
    }

    /// Once the cluster is known, members of another one that were taken before are no members.
    fn drop_strangers(&mut self) {
        let requirements = self.requirements();
        self.members.retain(|name, member| {
            *name == self.own.name
                || admission::admit(&requirements, name, member.incarnation, &member.metadata)
                    .is_ok()
        });
    }

    /// Takes SWIM's picture: every peer it has, dead ones included, in any order.
    pub fn observe(&mut self, peers: &[Peer], now: Now) {
        let seen = self.sort_out(peers);
        let own_name = self.own.name.clone();
        for (name, member) in &mut self.members {
            let current = seen
                .get(name)
                .is_some_and(|(peer, _)| peer.incarnation >= member.incarnation);
            if *name != own_name && member.alive() && !current {
                member.stand(Standing::Dead, now);
            }
        }
        for (name, (peer, metadata)) in seen {
            self.take(name, peer, metadata, now);
        }
        self.bound_gone();
    }

    /// The peer of the highest incarnation per name, of those that are admitted; notes the others.
    fn sort_out<'a>(&mut self, peers: &'a [Peer]) -> BTreeMap<String, (&'a Peer, Metadata)> {
        let requirements = self.requirements();
        let mut seen: BTreeMap<String, (&Peer, Metadata)> = BTreeMap::new();
        let mut refused = Vec::new();
        self.rival = None;
        for peer in peers {
            if peer.name == self.own.name {
                self.meet_own_name(peer);
                continue;
            }
            match admission::admit_peer(&requirements, peer) {
                Err(reason) if peer.alive => refused.push((peer, reason)),
                Err(_) => {}
                Ok(metadata) => {
                    let newer = seen
                        .get(&peer.name)
                        .is_none_or(|(other, _)| other.incarnation < peer.incarnation);
                    if newer {
                        seen.insert(peer.name.clone(), (peer, metadata));
                    }
                }
            }
        }
        self.refused.clear();
        for (peer, reason) in refused {
            self.refuse(peer, reason, &mut seen);
        }
        seen
    }

    /// A process that was taken while it said less of itself is out as well: SWIM still has its older description. If it
    /// never was a member of this cluster, it leaves no trace.
    fn refuse(
        &mut self,
        peer: &Peer,
        reason: String,
        seen: &mut BTreeMap<String, (&Peer, Metadata)>,
    ) {
        if seen
            .get(&peer.name)
            .is_some_and(|(other, _)| other.incarnation <= peer.incarnation)
        {
            seen.remove(&peer.name);
        }
        let passer_by = self.members.get(&peer.name).is_some_and(|member| {
            member.incarnation == peer.incarnation
                && member.metadata.cluster_id.is_none()
                && !member.served
        });
        if passer_by {
            self.members.remove(&peer.name);
        }
        if self.refused.len() < MEMBERS_MAX {
            self.refused.insert(peer.name.clone(), reason);
        }
    }

    fn meet_own_name(&mut self, peer: &Peer) {
        if peer.incarnation <= self.incarnation {
            return;
        }
        if peer.alive {
            self.rival = Some(peer.clone());
        }
        self.own_on_record = self.own_on_record.max(Some(peer.incarnation));
    }

    fn take(&mut self, name: String, peer: &Peer, metadata: Metadata, now: Now) {
        if !self.members.contains_key(&name) && self.known().count() >= MEMBERS_MAX {
            let reason = format!("{name}: this node already knows {MEMBERS_MAX} members");
            self.refused.insert(name, reason);
            return;
        }
        let member = self
            .members
            .entry(name)
            .or_insert_with(|| Member::new(peer.incarnation, metadata.clone(), peer.address, now));
        if peer.incarnation < member.incarnation {
            return;
        }
        if peer.incarnation > member.incarnation {
            // A new process of that name: how the old one stood no longer counts.
            member.start_anew(peer.incarnation);
            member.standing = Standing::Dead;
            member.since_unix_ms = now.unix_ms;
            member.ping_failed = false;
        } else if !member.known() {
            return;
        }
        member.metadata = metadata;
        member.address = peer.address;
        let standing = member.seen(peer.alive);
        member.seen_going |= standing == Standing::Gone(Gone::Left);
        member.stand(standing, now);
    }

    /// Merges what another member has on record. A book of another cluster or number of shards says nothing here.
    pub fn learn(&mut self, book: &Book, now: Now) {
        let foreign = matches!(
            (book.cluster_id, self.cluster_id),
            (Some(theirs), Some(ours)) if theirs != ours
        );
        if foreign || book.num_shards != self.own.num_shards {
            return;
        }
        let requirements = self.requirements();
        if self.heard_from.len() < MEMBERS_MAX {
            self.heard_from.insert(book.writer.clone());
        }
        for (name, entry) in &book.members {
            if *name == self.own.name {
                self.read_own_record(entry);
            } else if admission::admit(&requirements, name, entry.incarnation, &entry.metadata)
                .is_ok()
            {
                self.merge(name, entry, now);
            }
        }
        self.bound_gone();
    }

    fn read_own_record(&mut self, entry: &Entry) {
        if entry.gone.is_some() {
            self.own_gone = self.own_gone.max(Some(entry.incarnation));
        } else {
            self.own_had_place |= entry.served;
        }
        // Every incarnation is on the disk before anybody hears of it: a life that the disk does not know of means that the disk is an
        // older one, and lacks what was acknowledged in that life.
        let unknown = self.own.previous + 1..self.incarnation;
        if self.own.previous > 0 && unknown.contains(&entry.incarnation) {
            self.own_had_place = true;
            self.own_gone = self.own_gone.max(Some(entry.incarnation));
        }
        let forgotten = entry.gone == Some(Gone::Forgotten);
        if entry.incarnation > self.incarnation
            || (entry.incarnation == self.incarnation && forgotten)
        {
            self.own_on_record = self.own_on_record.max(Some(entry.incarnation));
        }
    }

    fn merge(&mut self, name: &str, entry: &Entry, now: Now) {
        if !self.members.contains_key(name) && self.known().count() >= MEMBERS_MAX {
            return;
        }
        let standing = entry.gone.map_or(Standing::Dead, Standing::Gone);
        let stopped = now
            .boot_ms
            .saturating_sub(entry.stopped_for_ms.unwrap_or(0));
        let fresh = !self.members.contains_key(name);
        let member = self.members.entry(name.to_owned()).or_insert_with(|| {
            Member::new(
                entry.incarnation,
                entry.metadata.clone(),
                entry.address,
                now,
            )
        });
        if fresh || entry.incarnation > member.incarnation {
            member.start_anew(entry.incarnation);
            member.metadata = entry.metadata.clone();
            member.address = entry.address;
            member.served |= entry.served;
            if member.served && member.stopped_boot_ms.is_none() {
                member.stopped_boot_ms = Some(stopped);
            }
            member.stand(standing, now);
        } else if entry.incarnation == member.incarnation {
            member.served |= entry.served;
            // Both ways to go for good are decisions, of the member itself or of an operator: the first one heard stands.
            if entry.gone.is_some() && member.known() {
                member.seen_going |= entry.gone == Some(Gone::Left);
                member.stand(standing, now);
            }
        }
    }

    /// Keeps the record of gone members bounded: the oldest incarnations are dropped first.
    fn bound_gone(&mut self) {
        let mut gone: Vec<(u64, String)> = self
            .members
            .iter()
            .filter(|(_, member)| !member.known())
            .map(|(name, member)| (member.incarnation, name.clone()))
            .collect();
        if gone.len() > MEMBERS_MAX {
            gone.sort_unstable();
            for (_, name) in &gone[..gone.len() - MEMBERS_MAX] {
                self.members.remove(name);
            }
        }
    }

    /// Takes the outcome of our own ping. Outcomes for an incarnation that no longer counts say nothing.
    pub fn pinged(&mut self, name: &str, incarnation: u64, answered: bool, now: Now) {
        if name == self.own.name {
            // It answers: there really are two processes with our name. That needs a person.
            self.superseded |= answered && incarnation > self.incarnation;
            return;
        }
        let Some(member) = self.members.get_mut(name) else {
            return;
        };
        if member.incarnation == incarnation && member.alive() && member.ping_failed == answered {
            member.ping_failed = !answered;
            member.since_unix_ms = now.unix_ms;
        }
    }

    /// Declares a member gone.
    ///
    /// # Errors
    /// When it answers, is this node, or is not known.
    pub fn forget(&mut self, name: &str, now: Now) -> Result<(), CannotForget> {
        if name == self.own.name {
            return Err(CannotForget::Own(name.to_owned()));
        }
        let member = self
            .members
            .get_mut(name)
            .ok_or_else(|| CannotForget::Unknown(name.to_owned()))?;
        if member.alive() {
            return Err(CannotForget::Up(name.to_owned()));
        }
        member.stand(Standing::Gone(Gone::Forgotten), now);
        self.bound_gone();
        Ok(())
    }

    /// The members that serve and would stay when this node leaves.
    ///
    /// # Errors
    /// When there are none, or fewer than `factor` and it is not forced.
    pub fn leave(&self, factor: u32, force: bool) -> Result<Vec<String>, CannotLeave> {
        let name = || self.own.name.clone();
        let mut others = self.known().filter(|(other, _)| **other != self.own.name);
        if others.next().is_none() {
            return Err(CannotLeave::Last(name()));
        }
        let staying: Vec<String> = self
            .known()
            .filter(|(other, member)| **other != self.own.name && member.serving())
            .map(|(other, _)| other.clone())
            .collect();
        match staying.len() {
            0 => Err(CannotLeave::NobodyServes(name())),
            staying if staying < factor as usize && !force => Err(CannotLeave::TooFew {
                name: name(),
                staying,
                factor,
            }),
            _ => Ok(staying),
        }
    }

    /// This node has handed everything over.
    pub fn depart(&mut self, now: Now) {
        if let Some(own) = self.members.get_mut(&self.own.name) {
            own.seen_going = true;
            own.stand(Standing::Gone(Gone::Left), now);
        }
    }

    /// The placement members at this moment, sorted.
    pub fn placement(&self, now: Now) -> Vec<String> {
        let delay = self.own.rebalance_delay_ms;
        let keeps = |member: &Member| match member.stopped_boot_ms {
            _ if member.serving() => true,
            Some(stopped) => now.boot_ms.saturating_sub(stopped) < delay,
            None => false,
        };
        self.known()
            .filter(|(_, member)| member.metadata.phase != Phase::Leaving && keeps(member))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// Known members that do not answer, and where they were last: whom to keep joining.
    pub fn absent(&self) -> BTreeMap<String, SocketAddr> {
        self.known()
            .filter(|(_, member)| !member.alive())
            .map(|(name, member)| (name.clone(), member.address))
            .collect()
    }

    /// The numbers of copies that members were set to keep, and that their stores count on. Who never had shards acknowledges
    /// nothing, and has no vote; and while one that had does not say, no more is assumed of it than this node's store counts on.
    pub fn factors(&self) -> Factors {
        let own = &self.members[&self.own.name].metadata;
        let voting = || {
            let others = self.placed_others().map(|(_, member)| &member.metadata);
            others.chain([own])
        };
        let set = || voting().filter_map(|metadata| metadata.replication_factor);
        let silent = voting().any(|metadata| metadata.replication_factor.is_none());
        let assumed = own.counted.filter(|_| silent);
        let least = set().chain(assumed).min().unwrap_or(1);
        let counted = voting().filter_map(|metadata| metadata.counted).min();
        Factors {
            least,
            most: set().max().unwrap_or(1),
            counted: counted.unwrap_or(0).min(least),
        }
    }

    /// Why this node cannot be let in with its number of copies: as a new one it would change that of all others.
    pub fn other_factor(&self) -> Option<String> {
        let own = self.members[&self.own.name].metadata.replication_factor?;
        let set: BTreeSet<u32> = self
            .placed_others()
            .filter_map(|(_, member)| member.metadata.replication_factor)
            .collect();
        let most = *set.last()?;
        (!self.own_had_place && !set.contains(&own)).then(|| {
            format!(
                "the replication.factor that the others have: {most}, not {own} (set STEMEDB_REPLICATION_FACTOR={most} here; what shall be \
                 changed is changed on members)"
            )
        })
    }

    /// SWIM addresses of the members that answer, this node's included.
    pub fn answering(&self) -> BTreeSet<SocketAddr> {
        self.known()
            .filter(|(_, member)| member.alive())
            .map(|(_, member)| member.address)
            .collect()
    }

    /// What other members and the disk are told.
    pub fn book(&self, now: Now) -> Book {
        let entry = |member: &Member| Entry {
            incarnation: member.incarnation,
            metadata: member.metadata.clone(),
            address: member.address,
            gone: match member.standing {
                Standing::Gone(gone) => Some(gone),
                _ => None,
            },
            served: member.served,
            stopped_for_ms: member
                .stopped_boot_ms
                .map(|at| now.boot_ms.saturating_sub(at)),
        };
        Book {
            writer: self.own.name.clone(),
            cluster_id: self.cluster_id,
            num_shards: self.own.num_shards,
            members: self
                .members
                .iter()
                .map(|(name, member)| (name.clone(), entry(member)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
