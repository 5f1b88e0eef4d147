import { isDeepStrictEqual } from 'node:util';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { ConflictError } from '../../src/util/conflict-error.js';
import type { Candidate, MetadataStore, Precondition } from '../../src/ports/metadata/metadata.js';
import type { ImageKey } from '../../src/ports/metadata/images.js';
import type { Digest } from '../../src/protocol/digest.js';
import { identify, MetadataModel } from './metadata-model.js';
import { kinds, openings, plan, tags, type Step, type World, type Write } from './metadata-plans.js';
import { sumExclusive } from './metadata-inventory.js';
import { collect, digest } from './metadata-samples.js';

const whole = { limit: 100 };
let runs = 0;

/** Tests that reads match a simple model after random writes. */
export function metadataPropertiesContract(open: () => Promise<MetadataStore>): void {
  it('matches the model after random changes, preconditions and purges', async () => {
    const store = await open();
    await fc.assert(
      fc.asyncProperty(
        fc.array(plan(), { minLength: 1, maxLength: 25 }),
        fc.nat({ max: 25 }),
        async (plans, watchedFrom) => {
          const world = makeWorld();
          const model = new MetadataModel();
          while (await store.inventory.countStored());
          // Runs before this one left content of their own.
          const { bytes: before } = await store.inventory.storedBytes();
          for (const [i, make] of [...openings, ...plans].entries()) {
            await takeStep(store, model, make(world));
            // From here on, usage is updated with writes instead of being summed.
            if (i === watchedFrom) for (const name of world.repositories) await store.usage(name);
          }
          await compare(store, model, world);
          const expected = { bytes: before + model.storedBytes(), isComplete: true };
          expect(await store.inventory.storedBytes()).toEqual(expected);
        },
      ),
      { numRuns: 60, seed: 20_261, endOnFailure: false },
    );
  });

  it('leaves a candidate for all unreferenced content until it is deleted', async () => {
    const store = await open();
    await fc.assert(
      fc.asyncProperty(fc.array(plan(), { minLength: 1, maxLength: 25 }), async (plans) => {
        const world = makeWorld();
        const model = new MetadataModel();
        const referenced = new Set<Digest>();
        for (const make of [...openings, ...plans]) {
          const step = keepCandidates(make(world));
          await takeStep(store, model, step);
          for (const found of world.digests) if (model.isReferenced(found)) referenced.add(found);
        }
        while (await store.purge(50));
        await checkCoverage(store, world, referenced);
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
    documents: [`${run}-b`, `${run}-a`],
  };
}

function keepCandidates(step: Step): Step {
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
    step.writes.map(({ changes, require }) => store.tryApply(changes, { durable: false, require })),
  );
  for (const [i, { changes, require }] of step.writes.entries()) {
    expect(applyToModel(model, changes, require)).toBe(outcomes[i]);
  }
}

/** Returns false on a conflict. */
function applyToModel(model: MetadataModel, changes: Write['changes'], require: Write['require']): boolean {
  const limits = require.filter((precondition) => precondition.type === 'usage');
  const others = require.filter((precondition) => precondition.type !== 'usage');
  if (!others.every((precondition) => holds(model, precondition))) return false;
  try {
    model.apply(changes, limits);
    return true;
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
}

function holds(model: MetadataModel, precondition: Exclude<Precondition, { type: 'usage' }>): boolean {
  const { type } = precondition;
  const exists = (value: unknown, is: 'present' | 'absent') => (value !== undefined) === (is === 'present');
  if (type === 'named' || type === 'unnamed') {
    return model.isNamed(precondition.at, precondition.digest) === (type === 'named');
  }
  if (type === 'referenced' || type === 'unreferenced') {
    return model.isReferenced(precondition.digest) === (type === 'referenced');
  }
  if (type === 'holders') {
    const found = model.holders(precondition.at, precondition.digest);
    const { tags: expectedTags, namedBy } = precondition.are;
    // An image of a missing repository has no holders that could be as expected.
    const isThere = model.repositories().some(({ config }) => config.name === precondition.at.repository);
    return isThere && isSame(found.tags, expectedTags) && isSame(found.namedBy, namedBy);
  }
  if (type === 'candidate')
    return model.candidates().some((candidate) => isDeepStrictEqual(candidate, precondition.candidate));
  // Whether bytes are stored depends on the driver, so no plan requires it.
  if (type === 'bytes') return !model.condemned().includes(precondition.digest);
  // No plan requires it.
  if (type === 'repositories') return precondition.are.length === model.repositories().length;
  const { is } = precondition;
  if (type === 'tag') {
    const tag = model.tag(precondition.at, precondition.tag);
    return typeof is === 'string' ? exists(tag, is) : 'digest' in is && tag?.digest === is.digest;
  }
  if (type === 'link') {
    const link = model.link(precondition.at, precondition.digest);
    return typeof is === 'string' ? exists(link, is) : 'linkedAt' in is && link?.linkedAt === is.linkedAt;
  }
  if (type === 'manifest') return exists(model.manifest(precondition.at, precondition.digest), precondition.is);
  if (type === 'document') return exists(model.document(precondition.kind, precondition.id), precondition.is);
  if (type === 'session')
    return exists(
      model.sessions().find(({ id }) => id === precondition.id),
      precondition.is,
    );
  return exists(
    model.repositories().find(({ config }) => config.name === precondition.name),
    precondition.is,
  );
}

function isSame(found: readonly string[], expected: readonly string[]): boolean {
  return found.toSorted().join() === expected.toSorted().join();
}

async function compare(store: MetadataStore, model: MetadataModel, world: World): Promise<void> {
  const mine = <T>(items: readonly T[], nameOf: (item: T) => string) =>
    items.filter((item) => world.repositories.includes(nameOf(item)));
  expect(mine(await store.repositories(), ({ config }) => config.name)).toEqual(model.repositories());
  expect(mine(await collect(store.sessions()), (found) => found.at.repository)).toEqual(model.sessions());
  for (const name of world.repositories) {
    expect((await store.images(name, whole)).items).toEqual(model.images(name));
    expect(await store.evictable(name, whole)).toEqual(model.evictable(name));
    expect(await store.usage(name)).toBe(model.usage(name));
    for (const names of [[`${name}/**`], [`${name}/x`], [`${name}/*`, `${name}/x/**`]])
      expect(await store.sizes.total(names)).toBe(model.total(names));
    expect(await store.trash.list(name, whole)).toEqual(model.trash(name));
    expect((await sumExclusive(store)).get(name) ?? 0).toBe(model.exclusiveBytes(name));
  }
  for (const at of world.images) await compareImage(store, model, world, at);
  for (const kind of kinds) {
    const all = await store.documents(kind);
    expect(all.filter(({ id }) => world.documents.includes(id))).toEqual(model.documents(kind));
    for (const id of world.documents) expect(await store.document(kind, id)).toEqual(model.document(kind, id));
  }
  const candidates = (await store.candidates(Infinity, 10_000)).filter((candidate) =>
    world.digests.includes(candidate.digest),
  );
  expect(byIdentity(candidates)).toEqual(byIdentity(model.candidates()));
  expect((await store.condemned()).filter((found) => world.digests.includes(found)).sort()).toEqual(model.condemned());
  for (const found of world.digests) {
    expect((await store.imagesLinking(found, whole)).items).toEqual(model.imagesLinking(found));
    expect(await store.isReferenced(found)).toBe(model.isReferenced(found));
    expect(await store.isCandidate(found)).toBe(model.isCandidate(found));
  }
}

async function compareImage(store: MetadataStore, model: MetadataModel, world: World, at: ImageKey): Promise<void> {
  expect(await store.image(at)).toEqual(model.image(at));
  expect((await store.tags(at, whole)).items).toEqual(model.tags(at));
  expect((await store.inventory.manifests(at, whole)).items).toEqual(model.manifests(at));
  expect(await store.inventory.uniqueBytes(at)).toBe(model.uniqueBytes(at));
  for (const tag of tags) {
    const named = model.tag(at, tag);
    expect(await store.tag(at, tag)).toEqual(named);
    expect(await store.taggedManifest(at, tag)).toEqual(named && model.manifest(at, named.digest));
  }
  for (const found of world.digests) {
    expect(await store.manifest(at, found)).toEqual(model.manifest(at, found));
    expect(await store.link(at, found)).toEqual(model.link(at, found));
    expect(await store.isNamed(at, found)).toBe(model.isNamed(at, found));
    expect(await store.trash.get(at, found)).toEqual(model.trashed(at, found));
    expect(await store.inventory.holders(at, found)).toEqual(model.holders(at, found));
    expect(await store.inventory.isHeldElsewhere(at, found)).toBe(model.isHeldElsewhere(at, found));
    expect((await store.referrers(at, found, whole)).items).toEqual(model.referrers(at, found));
  }
}

function byIdentity(candidates: readonly Candidate[]): Record<string, number> {
  return Object.fromEntries(candidates.map((candidate) => [identify(candidate), candidate.since]));
}

async function checkCoverage(store: MetadataStore, world: World, referenced: ReadonlySet<Digest>): Promise<void> {
  const covered = byIdentity(await store.candidates(Infinity, 100_000));
  for (const found of world.digests) {
    for (const at of world.images) {
      if ((await store.link(at, found)) === undefined || (await store.isNamed(at, found))) continue;
      expect(covered).toHaveProperty([identify({ kind: 'link', at, digest: found, since: 0 })]);
    }
    if (referenced.has(found) && !(await store.isReferenced(found))) expect(covered).toHaveProperty([found]);
  }
}
