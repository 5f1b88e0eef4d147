import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  ConflictError,
  type Candidate,
  type Change,
  type ImageKey,
  type MetadataStore,
  type Precondition,
} from '../../src/ports.js';
import type { Digest } from '../../src/protocol/digest.js';
import { identify, MetadataModel } from './metadata-model.js';
import { collect, digest, manifest, session, tagName } from './metadata-samples.js';

/** What one run writes under, so that runs share a store and never meet. */
interface World {
  readonly repositories: readonly string[];
  readonly images: readonly ImageKey[];
  readonly digests: readonly Digest[];
  readonly sessions: readonly string[];
}

interface Write {
  readonly changes: readonly Change[];
  readonly require: readonly Precondition[];
}

/** Writes that are asked for together, in this order; or a purge. */
type Step =
  { readonly kind: 'apply'; readonly writes: readonly Write[] } | { readonly kind: 'purge'; readonly when: number };

const tags = ['a', 'B', '1'].map((name) => tagName(name));
const whole = { limit: 100 };
let runs = 0;

/** Whatever is written in whatever order: what is read is what a plain model tells. */
export function metadataPropertiesContract(open: () => Promise<MetadataStore>): void {
  it('after random changes, on preconditions and with purges between', { timeout: 30_000 }, async () => {
    const store = await open();
    await fc.assert(
      fc.asyncProperty(fc.array(plan(), { minLength: 1, maxLength: 25 }), async (plans) => {
        const world = makeWorld();
        const model = new MetadataModel();
        for (const make of [...openings, ...plans]) await takeStep(store, model, make(world));
        await compare(store, model, world);
      }),
      { numRuns: 60, seed: 20_261, endOnFailure: false },
    );
  });

  it('leaves a candidate for all that nothing needs, until it is settled', { timeout: 30_000 }, async () => {
    const store = await open();
    await fc.assert(
      fc.asyncProperty(fc.array(plan(), { minLength: 1, maxLength: 25 }), async (plans) => {
        const world = makeWorld();
        const model = new MetadataModel();
        const seen = new Set<Digest>();
        for (const make of [...openings, ...plans]) {
          const step = withoutSettling(make(world));
          await takeStep(store, model, step);
          for (const found of world.digests) if (model.isReferenced(found)) seen.add(found);
        }
        while (await store.purge(50));
        await checkCoverage(store, world, seen);
      }),
      { numRuns: 40, seed: 20_262 },
    );
  });
}

function makeWorld(): World {
  const run = `run${(runs += 1)}`;
  const repositories = [`${run}-a`, `${run}-a-b`];
  return {
    repositories,
    images: repositories.flatMap((repository) => ['x', 'x/y'].map((image) => ({ repository, image }))),
    digests: ['0', '1', '2', '3', '4'].map((name) => digest(`${run} ${name}`)),
    sessions: [`${runs}0`, `${runs}1`],
  };
}

const openings: ((world: World) => Step)[] = [
  ({ repositories }) => ({
    kind: 'apply',
    writes: [{ changes: repositories.map((name) => putRepository(name, 0, false)), require: [] }],
  }),
];

function putRepository(name: string, when: number, sparse: boolean): Change {
  return { type: 'repository.put', config: { name, type: 'local', sparse, description: '' }, origin: 'managed', when };
}

/** A step as a function of the world it happens in. */
function plan(): fc.Arbitrary<(world: World) => Step> {
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
    [6, ({ at, tag, digest, when }) => ({ type: 'tag.put', at, tag: { name: tag, digest, updatedAt: when } })],
    [2, ({ at, tag }) => ({ type: 'tag.delete', at, tag })],
    [2, ({ at, sessionNumber }) => ({ type: 'session.put', session: session(sessionNumber, at) })],
    [1, ({ at, sessionNumber }) => ({ type: 'session.delete', id: session(sessionNumber, at).id })],
    [2, (chosen) => ({ type: 'candidate.put', candidate: candidateOf(chosen) })],
    [2, (chosen) => ({ type: 'candidate.delete', candidate: candidateOf(chosen) })],
    [1, ({ digest }) => ({ type: 'bytes.condemn', digest })],
    [2, ({ digest }) => ({ type: 'bytes.forget', digest })],
    [2, ({ at, when, flag }) => putRepository(at.repository, when, flag)],
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
    ({ digest }) => ({ type: 'unreferenced', digest }),
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
    // A digest weighs the same wherever it is.
    size: 100 + 10 ** chosen.digest,
    tag: tags[chosen.tag] as (typeof tags)[number],
    sessionNumber: world.sessions[chosen.session] as string,
    when: chosen.when,
    flag: chosen.flag,
    is: chosen.named.length % 2 === 0 ? ('present' as const) : ('absent' as const),
  };
}
type Chosen = ReturnType<typeof resolveChoice>;

function manifestOf({ digest, named, size, when, flag, other }: Chosen) {
  return { ...manifest(''), digest, references: named, size, pushedAt: when, ...(flag ? { subject: other } : {}) };
}

function candidateOf({ at, digest, when, flag }: Chosen): Candidate {
  return flag ? { kind: 'bytes', digest, since: when } : { kind: 'link', at, digest, since: when };
}

function withoutSettling(step: Step): Step {
  if (step.kind === 'purge') return step;
  const keep = ({ changes, require }: Write) => ({
    require,
    changes: changes.filter(({ type }) => type !== 'candidate.delete'),
  });
  return { kind: 'apply', writes: step.writes.map(keep) };
}

async function takeStep(store: MetadataStore, model: MetadataModel, step: Step): Promise<void> {
  if (step.kind === 'purge') {
    while (await store.purge(step.when));
    return model.purge(step.when);
  }
  const outcomes = await Promise.all(
    step.writes.map(({ changes, require }) => outcomeOf(() => store.apply(changes, { durable: false, require }))),
  );
  for (const [i, { changes, require }] of step.writes.entries()) {
    expect(await outcomeOf(async () => model.apply(changes, require))).toBe(outcomes[i]);
  }
}

async function outcomeOf(work: () => Promise<void>): Promise<string> {
  try {
    await work();
    return 'done';
  } catch (error) {
    if (error instanceof ConflictError) return 'conflict';
    throw error;
  }
}

async function compare(store: MetadataStore, model: MetadataModel, world: World): Promise<void> {
  const mine = <T>(items: readonly T[], nameOf: (item: T) => string) =>
    items.filter((item) => world.repositories.includes(nameOf(item)));
  expect(mine(await store.repositories(), ({ config }) => config.name)).toEqual(model.repositories());
  expect(mine(await collect(store.sessions()), (found) => found.at.repository)).toEqual(model.sessions());
  for (const name of world.repositories) expect((await store.images(name, whole)).items).toEqual(model.images(name));
  for (const at of world.images) await compareImage(store, model, world, at);
  const candidates = (await store.candidates(Infinity, 10_000)).filter((candidate) =>
    world.digests.includes(candidate.digest),
  );
  expect(byIdentity(candidates)).toEqual(byIdentity(model.candidates()));
  expect((await store.condemned()).filter((found) => world.digests.includes(found)).sort()).toEqual(model.condemned());
  for (const found of world.digests) {
    expect((await store.imagesLinking(found, whole)).items).toEqual(model.imagesLinking(found));
    expect(await store.isReferenced(found)).toBe(model.isReferenced(found));
  }
}

async function compareImage(store: MetadataStore, model: MetadataModel, world: World, at: ImageKey): Promise<void> {
  expect(await store.image(at)).toEqual(model.image(at));
  expect((await store.tags(at, whole)).items).toEqual(model.tags(at));
  for (const tag of tags) expect(await store.tag(at, tag)).toEqual(model.tag(at, tag));
  for (const found of world.digests) {
    expect(await store.manifest(at, found)).toEqual(model.manifest(at, found));
    expect(await store.link(at, found)).toEqual(model.link(at, found));
    expect(await store.isNamed(at, found)).toBe(model.isNamed(at, found));
    expect((await store.referrers(at, found, whole)).items).toEqual(model.referrers(at, found));
  }
}

function byIdentity(candidates: readonly Candidate[]): Record<string, number> {
  return Object.fromEntries(candidates.map((candidate) => [identify(candidate), candidate.since]));
}

async function checkCoverage(store: MetadataStore, world: World, seen: ReadonlySet<Digest>): Promise<void> {
  const covered = byIdentity(await store.candidates(Infinity, 100_000));
  for (const found of world.digests) {
    for (const at of world.images) {
      if ((await store.link(at, found)) === undefined || (await store.isNamed(at, found))) continue;
      expect(covered).toHaveProperty([identify({ kind: 'link', at, digest: found, since: 0 })]);
    }
    if (seen.has(found) && !(await store.isReferenced(found))) expect(covered).toHaveProperty([found]);
  }
}
