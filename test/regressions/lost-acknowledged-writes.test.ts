/**
 * Two users of the stores, in every order that one interruption can bring about: the first is stopped right before its
 * k-th call of a store, the second runs to its end (or until it waits for the first), and the first goes on; for every k,
 * and with the roles exchanged. Afterwards nothing that was acknowledged may be damaged, and nothing may be left behind.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RegistryError } from '../../src/protocol/errors.js';
import { digestOf } from '../../src/protocol/digest.js';
import type { ParsedManifest } from '../../src/protocol/manifests/manifest.js';
import { parseTag } from '../../src/protocol/names.js';
import {
  anyone,
  Domain,
  grace,
  hour,
  imageOf,
  indexOf,
  keyOf,
  missingOf,
  pullBlob,
  pushBlobs,
  pushImage,
  type Actor,
  type Hook,
  type Image,
} from '../support/storage/domain.js';

/** What a scenario plays with: new in each run. */
interface Stage {
  readonly domain: Domain;
  readonly repository: string;
  readonly layer: Buffer;
  readonly image: Image;
  /** Manifests that somebody was told are stored, and nobody was told are deleted. */
  readonly acknowledged: Set<ParsedManifest>;
  /** Blobs of `team/app` that somebody was told are stored, and nobody was told are deleted. */
  readonly blobs: Set<Buffer>;
}

type Play = (actor: Actor, stage: Stage) => Promise<unknown>;

interface Scenario {
  readonly sparse?: boolean;
  readonly prepare?: (stage: Stage) => Promise<unknown>;
  readonly plays: readonly [Play, Play];
}

type Outcome = { readonly done: unknown } | { readonly refused: string };

const name = 'team/app';
/** What a collector begins with: what happens there happens before its first candidate too. */
const beforeCandidates: ReadonlySet<string> = new Set(['purge', 'listStaged', 'sessions', 'list', 'isReferenced']);

/** Stops the caller before its call number `stopAt`. */
function stopBefore(stopAt: number): { hook: Hook; reached: Promise<string>; resume: () => void } {
  let calls = 0;
  let resume: () => void = () => undefined;
  let reach: (call: string) => void = () => undefined;
  const reached = new Promise<string>((resolve) => (reach = resolve));
  const resumed = new Promise<void>((resolve) => (resume = resolve));
  const hook: Hook = async (method) => {
    if (beforeCandidates.has(method)) return;
    const mine = calls;
    calls += 1;
    if (mine !== stopAt) return;
    reach(`call ${stopAt}, ${method}`);
    await resumed;
  };
  return { hook, reached, resume };
}

/** Watches whether a caller has calls under way. */
function watch(): { hook: Hook; after: () => void; rests: () => Promise<void> } {
  let running = 0;
  return {
    hook: async () => void (running += 1),
    after: () => void (running -= 1),
    // Long enough for what happens between two calls of a store.
    rests: async () => {
      for (let still = 0; still < 25; still = running === 0 ? still + 1 : 0) {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    },
  };
}

async function outcomeOf(play: Promise<unknown>): Promise<Outcome> {
  try {
    return { done: await play };
  } catch (error) {
    if (error instanceof RegistryError && error.status < 500) return { refused: error.code };
    throw error;
  }
}

async function acknowledge<T>(into: Set<T>, value: T, write: Promise<unknown>): Promise<void> {
  await write;
  into.add(value);
}

/** As clients do: ask for each blob, send what is absent, and begin again when the manifest is refused. */
async function pushAsClient(actor: Actor, { repository, image, acknowledged }: Stage, tag = 'v1'): Promise<void> {
  const writer = actor.writer(repository);
  for (let attempt = 0; attempt < 3; attempt++) {
    for (const bytes of image.blobs) {
      const present = await actor.repository(repository).statBlob(anyone, name, digestOf(bytes));
      if (present === undefined) await pushBlobs(writer, name, [bytes]);
    }
    try {
      return await acknowledge(
        acknowledged,
        image.manifest,
        writer.putManifest(anyone, name, image.manifest, [parseTag(tag)]),
      );
    } catch (error) {
      if (!(error instanceof RegistryError) || error.code !== 'MANIFEST_BLOB_UNKNOWN') throw error;
    }
  }
  throw new Error('the client gave up');
}

const collect: Play = (actor) => actor.collector.collect();
const pushBlob: Play = (actor, { repository, layer, blobs }) =>
  acknowledge(blobs, layer, pushBlobs(actor.writer(repository), name, [layer]));
const putManifest: Play = (actor, { repository, image, acknowledged }) =>
  acknowledge(
    acknowledged,
    image.manifest,
    actor.writer(repository).putManifest(anyone, name, image.manifest, [parseTag('v1')]),
  );
const deleteManifest: Play = async (actor, { repository, image, acknowledged }) => {
  // Whichever comes first: from here on both answers are right.
  await actor.writer(repository).deleteManifest(anyone, name, image.manifest.digest);
  acknowledged.delete(image.manifest);
};

/** Blobs that were left unnamed and are due. */
async function dueLinks({ domain, repository, image }: Stage): Promise<void> {
  await pushBlobs(domain.writer(repository), name, image.blobs);
  domain.runtime.advance(grace + hour);
}

/** Bytes that nothing refers to and that are due, of the image's manifest too. */
async function dueBytes({ domain, repository, image }: Stage): Promise<void> {
  const writer = domain.writer(repository);
  await pushImage(writer, name, image, 'v1');
  for (const bytes of image.blobs) await writer.deleteBlob(anyone, name, digestOf(bytes));
  await writer.deleteManifest(anyone, name, image.manifest.digest);
  domain.runtime.advance(grace + hour);
}

async function wholeImage({ domain, repository, image }: Stage): Promise<void> {
  await pushImage(domain.writer(repository), name, image, 'v1');
}

const scenarios: Readonly<Record<string, Scenario>> = {
  'a collector at due links and a push of the same blob': { prepare: dueLinks, plays: [collect, pushBlob] },
  'a collector at due bytes and a push of the same blob': { prepare: dueBytes, plays: [collect, pushBlob] },
  'a collector at due links and a client that pushes an image of them': {
    prepare: dueLinks,
    plays: [collect, pushAsClient],
  },
  'a collector at due bytes and a client that pushes an image of them': {
    prepare: dueBytes,
    plays: [collect, pushAsClient],
  },
  'a collector at due links and a client that pushes an image of them, in a strict repository': {
    sparse: false,
    prepare: dueLinks,
    plays: [collect, pushAsClient],
  },
  // It was told of no blob that it is there: what is linked must be whole, and the rest may be missing.
  'a collector at due links and a manifest that names them': {
    prepare: dueLinks,
    plays: [
      collect,
      (actor, { repository, image }) =>
        actor.writer(repository).putManifest(anyone, name, image.manifest, [parseTag('v1')]),
    ],
  },
  'a collector at due links and a manifest that names them, in a strict repository': {
    sparse: false,
    prepare: dueLinks,
    plays: [collect, putManifest],
  },
  'a collector at due links and a mount of one': {
    prepare: dueLinks,
    plays: [
      collect,
      async (actor, { repository, layer, domain }) => {
        const mounted = await actor
          .writer(repository)
          .mountBlob(anyone, 'mounted', digestOf(layer), keyOf(repository, name));
        if (!mounted) return;
        // What was acknowledged is there when everything has come to rest.
        await actor.collector.collect();
        expect(await pullBlob(domain.repository(repository), 'mounted', digestOf(layer))).toEqual(layer);
      },
    ],
  },
  'a collector at due links and a HEAD of one': {
    prepare: dueLinks,
    plays: [
      collect,
      async (actor, { repository, layer, blobs }) => {
        const found = await actor.repository(repository).statBlob(anyone, name, digestOf(layer));
        if (found !== undefined) blobs.add(layer);
      },
    ],
  },
  'a collector and the deletion of the image that holds the bytes': {
    prepare: wholeImage,
    plays: [(actor, stage) => collect(actor, stage), deleteManifest],
  },
  'a collector at due links and the deletion of an image that shares them': {
    prepare: async ({ domain, repository, image, layer }) => {
      await pushImage(domain.writer(repository), 'other', image, 'v1');
      await pushBlobs(domain.writer(repository), name, [layer]);
      domain.runtime.advance(grace + hour);
    },
    plays: [
      collect,
      async (actor, { repository, image }) =>
        actor.writer(repository).deleteManifest(anyone, 'other', image.manifest.digest),
    ],
  },
  'a collector at due links and the deletion of their repository': {
    prepare: dueLinks,
    plays: [collect, (_actor, { domain, repository }) => domain.deleteRepository(repository)],
  },
  'a collector and a repository that is deleted, created again and pushed to': {
    prepare: dueLinks,
    plays: [
      collect,
      async (actor, stage) => {
        await stage.domain.deleteRepository(stage.repository);
        await stage.domain.addRepository(stage.repository);
        await pushAsClient(actor, stage);
      },
    ],
  },
  'a client that pushes an image while its repository is deleted': {
    plays: [
      pushAsClient,
      async (_actor, stage) => {
        await stage.domain.deleteRepository(stage.repository);
        stage.acknowledged.clear();
      },
    ],
  },
  'a push and a deletion of one manifest': { prepare: wholeImage, plays: [putManifest, deleteManifest] },
  'a manifest and the deletion of a blob that it names, in a strict repository': {
    sparse: false,
    prepare: async ({ domain, repository, image }) => pushBlobs(domain.writer(repository), name, image.blobs),
    plays: [
      putManifest,
      async (actor, { repository, layer, image, acknowledged }) => {
        // A client may delete what an image needs. What is acknowledged after that was judged without the blob.
        await actor.writer(repository).deleteBlob(anyone, name, digestOf(layer));
        acknowledged.delete(image.manifest);
      },
    ],
  },
  'an index and the deletion of its child, in a strict repository': {
    sparse: false,
    prepare: wholeImage,
    plays: [
      (actor, { repository, image, acknowledged }) => {
        const index = indexOf([image.manifest]);
        return acknowledge(acknowledged, index, actor.writer(repository).putManifest(anyone, name, index, []));
      },
      async (actor, { repository, image, acknowledged }) => {
        await actor.writer(repository).deleteManifest(anyone, name, image.manifest.digest);
        acknowledged.clear();
      },
    ],
  },
  'a mount and the deletion of its source': {
    prepare: dueLinks,
    plays: [
      async (actor, { repository, layer, domain }) => {
        const from = keyOf(repository, name);
        const mounted = await actor.writer(repository).mountBlob(anyone, 'mounted', digestOf(layer), from);
        const found = await pullBlob(domain.repository(repository), 'mounted', digestOf(layer));
        expect(found).toEqual(mounted ? layer : undefined);
      },
      async (actor, { repository, layer }) => {
        await actor.writer(repository).deleteBlob(anyone, name, digestOf(layer));
        await actor.collector.collect();
      },
    ],
  },
  'an upload and a collector that finds it expired': {
    prepare: async ({ domain, repository }) => {
      await domain.writer(repository).startUpload(anyone, name, 'sha256');
      domain.runtime.advance(8 * 24 * hour);
    },
    plays: [collect, pushAsClient],
  },
  'two pushes of one image': { plays: [pushAsClient, pushAsClient] },
  'two collectors': { prepare: dueBytes, plays: [collect, collect] },
};

describe('no acknowledged write is lost and no garbage remains', () => {
  let domain: Domain;
  let runs = 0;
  beforeAll(async () => {
    domain = await Domain.open();
  });
  afterAll(() => domain.dispose());

  async function setUp({ sparse = true, prepare }: Scenario): Promise<Stage> {
    runs += 1;
    const repository = `run-${runs}`;
    // One blob only, so that the interruptions stay few.
    const image = imageOf(`image ${runs}`, []);
    const [layer = Buffer.alloc(0)] = image.blobs;
    const stage: Stage = { domain, repository, layer, image, acknowledged: new Set(), blobs: new Set() };
    await domain.addRepository(repository, { sparse });
    await prepare?.(stage);
    return stage;
  }

  /** What is wrong at the end; nothing when all is well. */
  async function check({ repository, image, acknowledged, blobs }: Stage): Promise<string[]> {
    const wrong: string[] = [];
    const present = domain.repository(repository);
    for (const manifest of acknowledged) {
      const missing = await missingOf(present, name, manifest);
      if (missing.length > 0) wrong.push(`an acknowledged image lacks ${missing.length} of its parts`);
    }
    for (const bytes of blobs) {
      if ((await pullBlob(present, name, digestOf(bytes))) === undefined) wrong.push('an acknowledged blob is gone');
    }
    for (const bytes of image.blobs) {
      const linked = await domain.metadata.link(keyOf(repository, name), digestOf(bytes));
      if (linked !== undefined && !domain.has(digestOf(bytes))) wrong.push('a link points to bytes that are gone');
    }
    const record = await domain.metadata.manifest(keyOf(repository, name), image.manifest.digest);
    if (record !== undefined && !domain.has(image.manifest.digest)) wrong.push('the bytes of a manifest are gone');
    return wrong;
  }

  /** What is left when all is deleted and collected. */
  async function cleanUp({ repository }: Stage): Promise<string[]> {
    if ((await domain.metadata.repository(repository)) !== undefined) await domain.deleteRepository(repository);
    await domain.collectAll();
    const left = [
      `${domain.disk.blobs.size} blobs`,
      `${domain.disk.staged.size} staged`,
      `${(await domain.candidates()).length} candidates`,
      `${(await domain.metadata.condemned()).length} condemned`,
    ].filter((text) => !text.startsWith('0 '));
    domain.disk.blobs.clear();
    domain.disk.staged.clear();
    return left.map((text) => `${text} left behind`);
  }

  /** Runs a scenario with one interruption; `undefined` when the first has ended before it would have come. */
  async function interrupt(
    scenario: Scenario,
    roles: readonly [0 | 1, 0 | 1],
    stopAt: number,
  ): Promise<string[] | undefined> {
    const stage = await setUp(scenario);
    const stop = stopBefore(stopAt);
    const watched = watch();
    const wrong: string[] = [];
    const note = (play: Play, actor: Actor): Promise<void> =>
      outcomeOf(play(actor, stage)).then(
        () => undefined,
        (error: unknown) => void wrong.push(`failed by ${String(error).replaceAll(/sha256:[0-9a-f]+/g, 'a digest')}`),
      );
    const first = note(scenario.plays[roles[0]], domain.actor(stop.hook));
    const reached = await Promise.race([stop.reached, first.then(() => undefined)]);
    if (reached !== undefined) {
      const second = note(scenario.plays[roles[1]], domain.actor(watched.hook, watched.after));
      await Promise.race([second, watched.rests()]);
      stop.resume();
      await Promise.all([first, second]);
    }
    wrong.push(...(await check(stage)), ...(await cleanUp(stage)));
    return reached === undefined ? undefined : wrong.map((text) => `${roles[0] + 1} stopped at ${reached}: ${text}`);
  }

  it.each(Object.entries(scenarios))('when these interrupt each other: %s', async (_title, scenario) => {
    const wrong: string[] = [];
    let interruptions = 0;
    for (const roles of [
      [0, 1],
      [1, 0],
    ] as const) {
      for (let stopAt = 0; stopAt < 100; stopAt++) {
        const found = await interrupt(scenario, roles, stopAt);
        if (found === undefined) break;
        interruptions += 1;
        wrong.push(...found);
      }
    }
    expect(wrong).toEqual([]);
    expect(interruptions).toBeGreaterThan(1);
    expect(interruptions).toBeLessThan(100);
  });
});
