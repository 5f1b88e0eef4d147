import type { Digest } from '../../../protocol/digest.js';
import type { ImageKey } from '../../../ports/metadata/images.js';
import type { Precondition, RepositoryVersion } from '../../../ports/metadata/metadata.js';
import { failedPrecondition, hasExactly, type EarlyPrecondition } from '../../conflicts.js';
import { decodeDigest, encodeDigest } from '../postgres-digest.js';
import { sql, type Executor, type Statement } from '../postgres-statement.js';
import { holdersOf } from '../reads/place.js';

type Type = EarlyPrecondition['type'];
type Of<T extends Type> = Extract<EarlyPrecondition, { type: T }>;

/** Joins the images of the arrays `$1` and `$2`, whose positions are `w.n`. `$3` has another array, as `w.key`. */
const fromWanted = (type: string): string =>
  `FROM unnest($1::text[], $2::text[], $3::${type}[]) WITH ORDINALITY w(repository, image, key, n)
    JOIN repository r ON r.name = w.repository AND r.deleted_at IS NULL
    JOIN image i ON i.repository_id = r.id AND i.name = w.image`;

const findRepositories = sql('SELECT name FROM repository WHERE name = ANY($1::text[]) AND deleted_at IS NULL');
const readVersions = sql('SELECT name, updated_at AS "updatedAt" FROM repository WHERE deleted_at IS NULL');
const findSessions = sql(`SELECT s.id FROM upload_session s JOIN repository r ON r.id = s.repository_id
  WHERE s.id = ANY($1::text[]) AND r.deleted_at IS NULL`);
const findDocuments = sql(`SELECT w.n FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w(kind, id, n)
  JOIN document d ON d.kind = w.kind AND d.id = w.id`);
const findManifests = sql(
  `SELECT w.n ${fromWanted('bytea')} JOIN manifest m ON m.image_id = i.id AND m.digest = w.key`,
);
const findLinks = sql(
  `SELECT w.n, l.linked_at AS value ${fromWanted('bytea')} JOIN link l ON l.image_id = i.id AND l.digest = w.key`,
);
const findTags = sql(
  `SELECT w.n, t.digest AS value ${fromWanted('text')} JOIN tag t ON t.image_id = i.id AND t.name = w.key`,
);
const findNamed = sql(`SELECT w.n ${fromWanted('bytea')}
  WHERE EXISTS (SELECT FROM named d WHERE d.image_id = i.id AND d.digest = w.key)`);
// An image without a row is empty, but the holders in a missing repository are never as expected.
const findHolders = sql(`SELECT w.n,
    ARRAY(SELECT t.name FROM tag t WHERE t.image_id = i.id AND t.digest = w.key) AS tags,
    ARRAY(SELECT d.manifest FROM named d WHERE d.image_id = i.id AND d.digest = w.key AND NOT d.in_trash) AS naming
  ${fromWanted('bytea').replace('JOIN image', 'LEFT JOIN image')}`);
const findReferenced = sql(`SELECT w.digest FROM unnest($1::bytea[]) w(digest)
  WHERE EXISTS (${holdersOf('w.digest')})`);
const findPlaces = sql('SELECT digest, size FROM place WHERE digest = ANY($1::bytea[])');
const findCondemned = sql('SELECT digest FROM blob WHERE digest = ANY($1::bytea[]) AND condemned_at IS NOT NULL');
const findLinkCandidates = sql(
  `SELECT w.n, c.since AS value ${fromWanted('bytea')} JOIN link_candidate c ON c.image_id = i.id AND c.digest = w.key`,
);
const findByteCandidates = sql('SELECT digest, since FROM bytes_candidate WHERE digest = ANY($1::bytea[])');

/**
 * Checks preconditions with one statement per type. Runs after the locks, so that each statement sees the writes that a lock
 * waited for.
 * @param knowsPlaces whether the ledger has the places of all bytes
 * @throws ConflictError for the first that does not hold
 */
export async function requireAll(
  session: Executor,
  preconditions: readonly Precondition[],
  knowsPlaces: boolean,
): Promise<void> {
  for (const type of new Set(preconditions.map((precondition) => precondition.type))) {
    // Checked after the changes.
    if (type !== 'usage') await requireType(session, type, preconditions, knowsPlaces);
  }
}

// T ties the group to its check.
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
async function requireType<T extends Type>(
  session: Executor,
  type: T,
  preconditions: readonly Precondition[],
  knowsPlaces: boolean,
): Promise<void> {
  const group = preconditions.filter((precondition): precondition is Of<T> => precondition.type === type);
  const results = await checks[type](session, group, knowsPlaces);
  const failed = group.find((_, i) => results[i] !== true);
  if (failed !== undefined) throw failedPrecondition(failed);
}

/** The check of each type of precondition: returns for each precondition whether it holds. */
const checks: {
  readonly [T in Type]: (
    session: Executor,
    group: readonly Of<T>[],
    knowsPlaces: boolean,
  ) => Promise<readonly boolean[]>;
} = {
  repository: (session, group) => checkNames(session, findRepositories, 'name', group, ({ name }) => name),
  repositories: checkRepositories,
  session: (session, group) => checkNames(session, findSessions, 'id', group, ({ id }) => id),
  document: checkDocuments,
  referenced: checkReferenced,
  unreferenced: checkReferenced,
  bytes: checkBytes,
  candidate: checkCandidates,
  holders: checkHolders,
  tag: checkTags,
  link: checkLinks,
  manifest: checkPresence,
  named: checkPresence,
  unnamed: checkPresence,
};

async function checkNames<P extends { readonly is: 'present' | 'absent' }>(
  session: Executor,
  statement: Statement,
  column: string,
  group: readonly P[],
  nameOf: (precondition: P) => string,
): Promise<readonly boolean[]> {
  const rows = await session.rows<Record<string, string>>(statement, [group.map(nameOf)]);
  const found = new Set(rows.map((row) => row[column]));
  return group.map((precondition) => found.has(nameOf(precondition)) === (precondition.is === 'present'));
}

async function checkRepositories(session: Executor, group: readonly Of<'repositories'>[]): Promise<readonly boolean[]> {
  const found = await session.rows<RepositoryVersion>(readVersions);
  const times = new Map(found.map(({ name, updatedAt }) => [name, updatedAt]));
  return group.map(
    ({ are }) => are.length === times.size && are.every(({ name, updatedAt }) => times.get(name) === updatedAt),
  );
}

async function checkDocuments(session: Executor, group: readonly Of<'document'>[]): Promise<readonly boolean[]> {
  const values = [group.map(({ kind }) => kind), group.map(({ id }) => id)];
  const found = new Set((await session.rows<{ n: number }>(findDocuments, values)).map(({ n }) => n));
  return group.map(({ is }, i) => found.has(i + 1) === (is === 'present'));
}

async function checkReferenced(
  session: Executor,
  group: readonly Of<'referenced' | 'unreferenced'>[],
): Promise<readonly boolean[]> {
  const found = await findDigests(session, findReferenced, group);
  return group.map(({ type, digest }) => found.has(digest) === (type === 'referenced'));
}

async function checkBytes(
  session: Executor,
  group: readonly Of<'bytes'>[],
  knowsPlaces: boolean,
): Promise<readonly boolean[]> {
  const condemned = await findDigests(session, findCondemned, group);
  if (!knowsPlaces) return group.map(({ digest }) => !condemned.has(digest));
  const rows = await session.rows<{ digest: Buffer; size: number }>(findPlaces, [encodeDigests(group)]);
  const sizes = new Map(rows.map(({ digest, size }) => [decodeDigest(digest), size]));
  return group.map(({ digest, size }) => sizes.get(digest) === size && !condemned.has(digest));
}

async function findDigests(
  session: Executor,
  statement: Statement,
  group: readonly { readonly digest: Digest }[],
): Promise<ReadonlySet<Digest>> {
  const values = [group.map(({ digest }) => encodeDigest(digest))];
  const rows = await session.rows<{ digest: Buffer }>(statement, values);
  return new Set(rows.map(({ digest }) => decodeDigest(digest)));
}

async function checkCandidates(session: Executor, group: readonly Of<'candidate'>[]): Promise<readonly boolean[]> {
  const bytes = group.flatMap(({ candidate }) => (candidate.kind === 'bytes' ? [candidate] : []));
  const links = group.flatMap(({ candidate }) => (candidate.kind === 'link' ? [candidate] : []));
  const times = new Map<object, number>();
  if (bytes.length > 0) {
    const values = [bytes.map(({ digest }) => encodeDigest(digest))];
    const rows = await session.rows<{ digest: Buffer; since: number }>(findByteCandidates, values);
    const found = new Map(rows.map(({ digest, since }) => [decodeDigest(digest), since]));
    for (const candidate of bytes) times.set(candidate, found.get(candidate.digest) ?? -1);
  }
  for (const [i, since] of await findValues<number>(session, findLinkCandidates, links, encodeDigests(links))) {
    times.set(links[i] ?? {}, since);
  }
  return group.map(({ candidate }) => times.get(candidate) === candidate.since);
}

async function checkLinks(session: Executor, group: readonly Of<'link'>[]): Promise<readonly boolean[]> {
  const found = await findValues<number>(session, findLinks, group, encodeDigests(group));
  return group.map(({ is }, i) =>
    typeof is === 'string' ? found.has(i) === (is === 'present') : found.get(i) === is.linkedAt,
  );
}

async function checkTags(session: Executor, group: readonly Of<'tag'>[]): Promise<readonly boolean[]> {
  const tags = group.map(({ tag }) => tag);
  const found = await findValues<Buffer>(session, findTags, group, tags);
  return group.map(({ is }, i) => {
    const digest = found.get(i);
    if (typeof is === 'string') return (digest !== undefined) === (is === 'present');
    return digest !== undefined && decodeDigest(digest) === is.digest;
  });
}

async function checkPresence(
  session: Executor,
  group: readonly Of<'manifest' | 'named' | 'unnamed'>[],
): Promise<readonly boolean[]> {
  const statement = group[0]?.type === 'manifest' ? findManifests : findNamed;
  const found = await findValues(session, statement, group, encodeDigests(group));
  return group.map((one, i) => {
    const wanted = one.type === 'manifest' ? one.is === 'present' : one.type === 'named';
    return found.has(i) === wanted;
  });
}

async function checkHolders(session: Executor, group: readonly Of<'holders'>[]): Promise<readonly boolean[]> {
  const values = [...namesOf(group), encodeDigests(group)];
  const rows = await session.rows<{ n: number; tags: string[]; naming: Buffer[] }>(findHolders, values);
  const found = new Map(rows.map((row) => [row.n - 1, row]));
  return group.map(({ are }, i) => {
    const row = found.get(i);
    return row !== undefined && hasExactly(row.tags, are.tags) && hasExactly(row.naming.map(decodeDigest), are.namedBy);
  });
}

/** Returns the values that were found, at the positions of the preconditions on images. */
async function findValues<T>(
  session: Executor,
  statement: Statement,
  group: readonly { readonly at: ImageKey }[],
  keys: readonly unknown[],
): Promise<ReadonlyMap<number, T>> {
  if (group.length === 0) return new Map();
  const rows = await session.rows<{ n: number; value: T }>(statement, [...namesOf(group), keys]);
  return new Map(rows.map(({ n, value }) => [n - 1, value]));
}

function namesOf(group: readonly { readonly at: ImageKey }[]): [string[], string[]] {
  return [group.map(({ at }) => at.repository), group.map(({ at }) => at.image)];
}

function encodeDigests(group: readonly { readonly digest: Digest }[]): Buffer[] {
  return group.map(({ digest }) => encodeDigest(digest));
}
