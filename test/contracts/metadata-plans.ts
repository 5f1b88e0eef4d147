import { localConfig } from '../support/storage/local-config.js';
import * as fc from 'fast-check';
import type { Candidate, Change, Precondition, TagRecord } from '../../src/ports/metadata/metadata.js';
import type { ImageKey } from '../../src/ports/metadata/images.js';
import type { Digest } from '../../src/protocol/digest.js';
import { manifest, session, tagName } from './metadata-samples.js';

/** The names that one run uses, so that runs share a store without affecting each other. */
export interface World {
  readonly repositories: readonly string[];
  readonly images: readonly ImageKey[];
  readonly digests: readonly Digest[];
  readonly sessions: readonly string[];
  /** Ids of documents. */
  readonly documents: readonly string[];
}

/** One call of `apply`. */
export interface Write {
  readonly changes: readonly Change[];
  readonly require: readonly Precondition[];
}

/** Concurrent writes, called in this order, or a purge. */
export type Step =
  { readonly kind: 'apply'; readonly writes: readonly Write[] } | { readonly kind: 'purge'; readonly when: number };

/** The tags of all runs. */
export const tags = ['a', 'B', '1'].map((name) => tagName(name));
/** Kinds of documents; one is a prefix of another. */
export const kinds = ['account', 'account-token', 'rule'] as const;

/** The first steps of every run. */
export const openings: ((world: World) => Step)[] = [
  ({ repositories }) => ({
    kind: 'apply',
    writes: [{ changes: repositories.map((name) => putRepository(name, 0, false)), require: [] }],
  }),
];

function putRepository(name: string, when: number, sparse: boolean): Change {
  return { type: 'repository.put', config: localConfig(name, { sparse, trashSeconds: 0 }), origin: 'managed', when };
}

/** Returns an arbitrary step, as a function of the world of the run. */
export function plan(): fc.Arbitrary<(world: World) => Step> {
  const write = fc
    .tuple(fc.array(change(), { minLength: 1, maxLength: 4 }), fc.array(precondition(), { maxLength: 1 }))
    .map(([changes, require]) => (world: World): Write => ({
      changes: changes.map((make) => make(world)),
      require: require.map((make) => make(world)),
    }));
  const applying = fc
    .array(write, { minLength: 1, maxLength: 4 })
    .map((writes) => (world: World): Step => ({ kind: 'apply', writes: writes.map((make) => make(world)) }));
  const purging = time().map((when) => (): Step => ({ kind: 'purge', when }));
  return fc.oneof({ weight: 8, arbitrary: applying }, { weight: 1, arbitrary: purging });
}

const time = () => fc.nat({ max: 20 });
const pick = (count: number) => fc.nat({ max: count - 1 });

interface Choice {
  readonly image: number;
  readonly digest: number;
  readonly other: number;
  readonly named: readonly number[];
  readonly tag: number;
  readonly session: number;
  readonly when: number;
  readonly flag: boolean;
}

function choice(): fc.Arbitrary<Choice> {
  return fc.record({
    image: pick(4),
    digest: pick(5),
    other: pick(5),
    named: fc.uniqueArray(pick(5), { maxLength: 3 }),
    tag: pick(3),
    session: pick(2),
    when: time(),
    flag: fc.boolean(),
  });
}

function change(): fc.Arbitrary<(world: World) => Change> {
  const weighted: readonly [number, (chosen: Chosen) => Change][] = [
    [8, ({ at, digest, when, size }) => ({ type: 'blob.link', at, digest, size, when })],
    [3, ({ at, digest, when }) => ({ type: 'blob.unlink', at, digest, when })],
    [8, (chosen) => ({ type: 'manifest.put', at: chosen.at, manifest: manifestOf(chosen) })],
    [3, ({ at, digest, when }) => ({ type: 'manifest.delete', at, digest, when })],
    [6, ({ at, digest, when }) => ({ type: 'manifest.delete', at, digest, when, trashUntil: when + 7 })],
    [3, ({ at, digest }) => ({ type: 'trash.restore', at, digest })],
    [3, ({ at, digest, when }) => ({ type: 'trash.delete', at, digest, since: when })],
    [2, ({ at, digest, when }) => ({ type: 'trash.delete', at, digest, since: when, deletedAt: when })],
    [6, ({ at, tag, digest, when }) => ({ type: 'tag.put', at, tag: tagOf(tag, digest, when) })],
    [2, ({ at, tag }) => ({ type: 'tag.delete', at, tag })],
    [2, ({ at, sessionNumber }) => ({ type: 'session.put', session: session(sessionNumber, at) })],
    [1, ({ at, sessionNumber }) => ({ type: 'session.delete', id: session(sessionNumber, at).id })],
    [2, ({ at, digest, when }) => ({ type: 'manifest.pulled', at, digest, count: 1, when })],
    [6, ({ at, digest, named, when }) => ({ type: 'cache.touched', at, digests: [digest, ...named], when })],
    [2, (chosen) => ({ type: 'candidate.put', candidate: candidateOf(chosen) })],
    [2, (chosen) => ({ type: 'candidate.delete', candidate: candidateOf(chosen) })],
    [1, ({ digest }) => ({ type: 'bytes.condemn', digest })],
    [2, ({ digest, flag }) => ({ type: 'bytes.forget', digest, ...(flag ? { deleted: true } : {}) })],
    [2, ({ at, when, flag }) => putRepository(at.repository, when, flag)],
    [2, ({ kind, record, when }) => ({ type: 'document.put', kind, id: record, value: { when } })],
    [1, ({ kind, record }) => ({ type: 'document.delete', kind, id: record })],
    [1, ({ at, when }) => ({ type: 'repository.delete', name: at.repository, when })],
  ];
  const makers = weighted.map(([weight, make]) => ({ weight, arbitrary: fc.constant(make) }));
  return fc.tuple(fc.oneof(...makers), choice()).map(
    ([make, chosen]) =>
      (world) =>
        make(resolveChoice(world, chosen)),
  );
}

function precondition(): fc.Arbitrary<(world: World) => Precondition> {
  const makers: ((chosen: Chosen) => Precondition)[] = [
    ({ at, is }) => ({ type: 'repository', name: at.repository, is }),
    ({ at, digest, is }) => ({ type: 'manifest', at, digest, is }),
    ({ at, tag, is, digest, flag }) => ({ type: 'tag', at, tag, is: flag ? is : { digest } }),
    ({ at, digest, is, when, flag }) => ({ type: 'link', at, digest, is: flag ? is : { linkedAt: when } }),
    ({ at, digest }) => ({ type: 'unnamed', at, digest }),
    ({ at, digest, tag, flag, other, named }) => ({
      type: 'holders',
      at,
      digest,
      are: { tags: flag ? [tag] : [], namedBy: named.length === 1 ? [other] : [] },
    }),
    ({ at, size, flag }) => ({ type: 'usage', names: [`${at.repository}/${flag ? '**' : at.image}`], maxBytes: size }),
    ({ digest }) => ({ type: 'unreferenced', digest }),
    (chosen) => ({ type: 'candidate', candidate: candidateOf(chosen) }),
    ({ kind, record, is }) => ({ type: 'document', kind, id: record, is }),
    ({ sessionNumber, at, is }) => ({ type: 'session', id: session(sessionNumber, at).id, is }),
  ];
  return fc.tuple(fc.constantFrom(...makers), choice()).map(
    ([make, chosen]) =>
      (world) =>
        make(resolveChoice(world, chosen)),
  );
}

function resolveChoice(world: World, chosen: Choice) {
  return {
    at: world.images[chosen.image] as ImageKey,
    digest: world.digests[chosen.digest] as Digest,
    other: world.digests[chosen.other] as Digest,
    named: chosen.named.map((index) => world.digests[index] as Digest),
    // A digest has the same size everywhere.
    size: 100 + 10 ** chosen.digest,
    tag: tags[chosen.tag] as (typeof tags)[number],
    sessionNumber: world.sessions[chosen.session] as string,
    record: world.documents[chosen.session] as string,
    kind: kinds[chosen.tag] as (typeof kinds)[number],
    when: chosen.when,
    flag: chosen.flag,
    is: chosen.named.length % 2 === 0 ? ('present' as const) : ('absent' as const),
  };
}
type Chosen = ReturnType<typeof resolveChoice>;

function manifestOf({ digest, named, size, when, flag, other }: Chosen) {
  return { ...manifest(''), digest, references: named, size, pushedAt: when, ...(flag ? { subject: other } : {}) };
}

/** Creates a tag. Some tags have a time of revalidation, like cached ones. */
function tagOf(name: Chosen['tag'], digest: Digest, when: number): TagRecord {
  return { name, digest, updatedAt: when, ...(when % 2 === 0 ? {} : { checkedAt: when + 1 }) };
}

function candidateOf({ at, digest, when, flag }: Chosen): Candidate {
  return flag ? { kind: 'bytes', digest, since: when } : { kind: 'link', at, digest, since: when };
}
