//! Rows of `record` and lines of `place`.

use assertion::{Record, RecordId};
use sidecar::clock::unix_ms;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Mending;
use crate::damage::Lost;
use crate::intake::shard_of_record;
use crate::writer::rows::id_head;

/// The lines of a row by the head of its id: one look into each shard.
const BY_HEAD: &str = "
    SELECT p.shard, p.id FROM shard s
    CROSS JOIN place p ON p.shard = s.shard AND p.id BETWEEN ?1 AND ?2
    WHERE p.sequence = ?3";

/// The same when the head may be what is damaged: all lines are read.
const BY_SEQUENCE: &str = "SELECT shard, id FROM place WHERE sequence = ?";

/// How often one transaction reads all ids, seconds each in a large store: others wait to write. What is left is found again.
const SCANS_MAX: u32 = 4;

const ROW: &str = "
    SELECT ifnull(CAST(r.id_head AS INTEGER), -1), CAST(r.canonical AS BLOB), d.sequence IS NOT NULL
    FROM record r LEFT JOIN redaction d ON d.sequence = r.sequence WHERE r.sequence = ?";

const KEEP: &str = "
    INSERT OR REPLACE INTO quarantine (sequence, shard, id, canonical, noticed_at_ms, reason, healed_at_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?)";

/// What a row of `record` is.
#[derive(Debug)]
pub(super) enum Row {
    /// There is none.
    None,
    /// Its record was redacted.
    Redacted,
    /// Its bytes are those of its id.
    Sound(Box<Record>),
    /// They are not.
    Damaged(Bad),
}

/// A damaged row.
#[derive(Debug)]
pub(super) struct Bad {
    sequence: i64,
    head: i64,
    bytes: Option<Vec<u8>>,
    why: String,
}

impl Mending<'_> {
    /// Reads a row and judges it.
    pub(super) async fn read(&mut self, sequence: i64) -> Result<Row, sqlx::Error> {
        let row = sqlx::query(ROW).bind(sequence);
        let Some(row) = row.fetch_optional(&mut *self.connection).await? else {
            return Ok(Row::None);
        };
        let head: i64 = row.try_get(0)?;
        let bytes: Option<Vec<u8>> = row.try_get(1)?;
        let place = u64::try_from(sequence).unwrap_or_default();
        let why = match bytes.as_deref().map(Record::from_stored) {
            None if row.try_get(2)? => return Ok(Row::Redacted),
            None => "its bytes are gone".to_owned(),
            // It would be the last of all, or before all.
            Some(_) if !(1..=self.given).contains(&place) => "its place was never given".to_owned(),
            Some(Err(invalid)) => format!("its bytes are no record: {invalid}"),
            Some(Ok(record)) => {
                if id_head(record.id().as_bytes()) == head
                    || self.place_of(&record).await? == Some(sequence)
                {
                    return Ok(Row::Sound(Box::new(record)));
                }
                "its bytes are those of another record".to_owned()
            }
        };
        Ok(Row::Damaged(Bad {
            sequence,
            head,
            bytes,
            why,
        }))
    }

    fn shard_of(&self, record: &Record) -> u32 {
        shard_of_record(record, self.num_shards)
    }

    async fn place_of(&mut self, record: &Record) -> Result<Option<i64>, sqlx::Error> {
        let shard = i64::from(self.shard_of(record));
        self.sequence_of(shard, record.id().as_bytes()).await
    }

    async fn sequence_of(&mut self, shard: i64, id: &[u8]) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT sequence FROM place WHERE shard = ? AND id = ?")
            .bind(shard)
            .bind(id.to_vec())
            .fetch_optional(&mut *self.connection)
            .await
    }

    /// A row that may be damaged, or lack lines.
    pub(super) async fn row(&mut self, sequence: i64) -> Result<(), sqlx::Error> {
        match self.read(sequence).await? {
            Row::None | Row::Redacted => Ok(()),
            Row::Damaged(bad) => self.quarantine(bad).await.map(drop),
            Row::Sound(record) => {
                self.head(&record, sequence).await?;
                if self.placed(&record, sequence).await? {
                    self.write_lines(&record, sequence).await?;
                }
                Ok(())
            }
        }
    }

    async fn head(&mut self, record: &Record, sequence: i64) -> Result<(), sqlx::Error> {
        let head = id_head(record.id().as_bytes());
        let done =
            sqlx::query("UPDATE record SET id_head = ? WHERE sequence = ? AND id_head IS NOT ?")
                .bind(head)
                .bind(sequence)
                .bind(head)
                .execute(&mut *self.connection)
                .await?;
        self.count_lines("record", sequence, done.rows_affected());
        Ok(())
    }

    /// Sees to it that a record's id leads to its row. False: it leads to another sound row, and this one is taken away.
    async fn placed(&mut self, record: &Record, sequence: i64) -> Result<bool, sqlx::Error> {
        let other = self.place_of(record).await?;
        if other == Some(sequence) {
            return Ok(true);
        }
        if let Some(other) = other
            && let Row::Sound(same) = self.read(other).await?
            && same.id() == record.id()
        {
            self.delete_lines(record, sequence).await?;
            self.delete_row(sequence).await?;
            self.count_lines("record", sequence, 1);
            return Ok(false);
        }
        let shard = i64::from(self.shard_of(record));
        sqlx::query(
            "INSERT INTO place (shard, id, sequence) VALUES (?, ?, ?)
             ON CONFLICT (shard, id) DO UPDATE SET sequence = excluded.sequence",
        )
        .bind(shard)
        .bind(record.id().as_bytes().to_vec())
        .bind(sequence)
        .execute(&mut *self.connection)
        .await?;
        self.count_lines("place", sequence, 1);
        self.touch(shard);
        Ok(true)
    }

    async fn delete_row(&mut self, sequence: i64) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM record WHERE sequence = ?")
            .bind(sequence)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    /// Moves a row out of the tables. What indexes have of it is found by its bytes as far as they go; the rest leads nowhere, and
    /// the pass takes it away. False: it stays for the next pass, for this transaction has scanned enough.
    pub(super) async fn quarantine(&mut self, bad: Bad) -> Result<bool, sqlx::Error> {
        let sequence = bad.sequence;
        let mut places = self.by_head(&bad).await?;
        if places.is_empty() {
            if self.scans == SCANS_MAX {
                tracing::warn!(sequence, "a damaged row is left for the next pass");
                return Ok(false);
            }
            self.scans += 1;
            let rows = sqlx::query(BY_SEQUENCE).bind(sequence);
            let rows = rows.fetch_all(&mut *self.connection).await?;
            places = rows.iter().map(place).collect::<Result<_, _>>()?;
        }
        if let Some(Ok(record)) = bad.bytes.as_deref().map(Record::from_stored) {
            self.delete_lines(&record, sequence).await?;
        }
        self.delete_row(sequence).await?;
        if places.is_empty() {
            // Whose it was is not known: what is missing here is found by comparing all.
            self.keep(&bad, (0, Vec::new()), true).await?;
            self.unknown = true;
        }
        for (shard, id) in places {
            self.lose(&bad, shard, id).await?;
        }
        self.mended.quarantined += 1;
        Ok(true)
    }

    async fn by_head(&mut self, bad: &Bad) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
        let Ok(head) = u32::try_from(bad.head) else {
            return Ok(Vec::new());
        };
        let bound = |rest: u8| [&head.to_be_bytes()[..], &[rest; 28]].concat();
        let rows = sqlx::query(BY_HEAD)
            .bind(bound(0))
            .bind(bound(0xff))
            .bind(bad.sequence)
            .fetch_all(&mut *self.connection)
            .await?;
        rows.iter().map(place).collect()
    }

    /// An id leaves the set; its record is waited for, when it can be one.
    async fn lose(&mut self, bad: &Bad, shard: i64, id: Vec<u8>) -> Result<(), sqlx::Error> {
        self.unplace(shard, &id).await?;
        let known = merkle::Id::try_from(&id[..]).ok();
        let of = u32::try_from(shard)
            .ok()
            .filter(|of| *of <= self.num_shards);
        let known = known.zip(of);
        self.keep(bad, (shard, id), known.is_none()).await?;
        // Nothing is waited for then: what it was is found by comparing the shard, or all of them.
        self.unknown |= of.is_none();
        self.untold |= known.is_none();
        if let Some((id, shard)) = known {
            let record = RecordId::from_bytes(id);
            let (sequence, why) = (bad.sequence, &bad.why);
            tracing::error!(
                sequence,
                %record,
                why,
                "a row is damaged; it is put aside, and its record fetched again"
            );
            self.lost.push(Lost {
                id,
                shard,
                sequence,
                noticed_at_ms: unix_ms(),
                reason: bad.why.clone(),
            });
        }
        Ok(())
    }

    /// Writes a line of `quarantine`; `settled`: nothing is waited for.
    async fn keep(
        &mut self,
        bad: &Bad,
        (shard, id): (i64, Vec<u8>),
        settled: bool,
    ) -> Result<(), sqlx::Error> {
        let now = unix_ms();
        sqlx::query(KEEP)
            .bind(bad.sequence)
            .bind(shard)
            .bind(id)
            .bind(bad.bytes.clone())
            .bind(now)
            .bind(&bad.why)
            .bind(settled.then_some(now))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn unplace(&mut self, shard: i64, id: &[u8]) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM place WHERE shard = ? AND id = ?")
            .bind(shard)
            .bind(id.to_vec())
            .execute(&mut *self.connection)
            .await?;
        if let Some(shard) = self.touch(shard) {
            self.lacking.insert(shard);
        }
        Ok(())
    }

    /// A line of `place` that may lead to another record, or nowhere.
    pub(super) async fn place(
        &mut self,
        shard: i64,
        id: &[u8],
        sequence: i64,
    ) -> Result<(), sqlx::Error> {
        if self.sequence_of(shard, id).await? != Some(sequence) {
            return Ok(());
        }
        match self.read(sequence).await? {
            Row::Redacted => Ok(()),
            Row::Damaged(bad) => self.quarantine(bad).await.map(drop),
            Row::None => {
                let bad = Bad {
                    sequence,
                    head: 0,
                    bytes: None,
                    why: "its row is gone".to_owned(),
                };
                self.mended.quarantined += 1;
                self.lose(&bad, shard, id.to_vec()).await
            }
            Row::Sound(record) => {
                let own = i64::from(self.shard_of(&record)) == shard;
                if own && record.id().as_bytes()[..] == *id {
                    return Ok(());
                }
                self.unplace(shard, id).await?;
                self.count_lines("place", sequence, 1);
                self.row(sequence).await
            }
        }
    }
}

fn place(row: &SqliteRow) -> Result<(i64, Vec<u8>), sqlx::Error> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}
