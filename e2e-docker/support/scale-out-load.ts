import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { composeImage, content, jsonContent, mediaTypes, type Image, type PulledImage } from './images.js';
import { seededRandom, type SeededRandom } from './random.js';
import type { RegistryHttp } from './registry-http.js';

const pushers = 4;
const largeBytes = 14 << 20;
/** A client gives up after this many attempts: some two minutes while every answer is a quick 503. */
const maxAttempts = 70;

/** An image whose manifest was answered with 201, and that nobody deleted. */
export interface Pushed {
  readonly name: string;
  readonly tag: string;
  readonly image: PulledImage;
}

/** What the clients did. */
export interface Counts {
  deleted: number;
  /** Attempts of pushes that failed visibly, and were repeated. */
  repeated: number;
  /** Pulls of whole images. */
  pulled: number;
  /** Pulls that failed visibly. */
  broken: number;
}

/** Clients that push, delete and pull images at the same time. */
export interface Load {
  readonly acknowledged: readonly Pushed[];
  readonly counts: Readonly<Counts>;
  /** Waits until this many more images are acknowledged. Rejects as soon as a client has seen a lost image or a torn answer. */
  more(images: number): Promise<void>;
  /** Lets the clients finish their images. Rejects if one of them saw a lost image or a torn answer, or gave up. */
  stop(): Promise<void>;
}

/** Starts clients of the images `local/NAME/0` to `local/NAME/3`. The names and bytes depend on the seed. */
export function startLoad(registry: RegistryHttp, name: string, seed: number): Load {
  const load = { acknowledged: [] as Pushed[], counts: { deleted: 0, repeated: 0, pulled: 0, broken: 0 }, stop: false };
  const clients = Array.from({ length: pushers }, (_, i) =>
    pushUntilStopped(registry, `local/${name}/${i}`, seededRandom(1 + seed * 100 + i), load),
  );
  clients.push(pullUntilStopped(registry, seededRandom(50 + seed * 100), load));
  let failure: unknown;
  const ended = Promise.all(clients).catch((error: unknown) => (failure ??= error));
  return {
    acknowledged: load.acknowledged,
    counts: load.counts,
    async more(images) {
      const wanted = load.acknowledged.length + images;
      await expect.poll(() => failure !== undefined || load.acknowledged.length >= wanted).toBe(true);
      if (failure !== undefined) throw failure;
    },
    async stop() {
      load.stop = true;
      await ended;
      if (failure !== undefined) throw failure;
    },
  };
}

interface State {
  readonly acknowledged: Pushed[];
  readonly counts: Counts;
  readonly stop: boolean;
}

function randomImage(random: SeededRandom): Image {
  // One in twelve has a layer of several parts in the bucket.
  const bytes = random.below(12) === 0 ? largeBytes : 1 + random.below(60_000);
  const layers = [random.bytes(bytes), random.bytes(1 + random.below(4_000))];
  return composeImage(
    jsonContent(mediaTypes.ociConfig, { created: random.below(1e9), os: 'linux' }),
    layers.map((bytes) => content(mediaTypes.ociLayerGzip, bytes)),
  );
}

/** Leaves out the bytes, of which there are too many. */
function digestsOf({ manifest, config, layers }: Image): PulledImage {
  const only = ({ digest }: { readonly digest: string }) => ({ digest });
  return { manifest: only(manifest), config: only(config), layers: layers.map(only) };
}

/** Pushes image after image and deletes one in four, so that there is garbage. */
async function pushUntilStopped(
  registry: RegistryHttp,
  name: string,
  random: SeededRandom,
  state: State,
): Promise<void> {
  while (!state.stop) {
    const image = randomImage(random);
    const pushed = { name, tag: `t${random.below(1e9)}`, image: digestsOf(image) };
    const repeat = (): void => void state.counts.repeated++;
    await untilComplete(() => registry.pushImage(name, pushed.tag, image), repeat);
    if (random.below(4) > 0) {
      state.acknowledged.push(pushed);
      continue;
    }
    await registry
      .send(`/v2/${name}/manifests/${pushed.image.manifest.digest}`, { method: 'DELETE' })
      .then(() => state.counts.deleted++, rethrowUnlessBroken);
  }
}

/** Pulls acknowledged images again and again. An answer is complete, or visibly broken. */
async function pullUntilStopped(registry: RegistryHttp, random: SeededRandom, state: State): Promise<void> {
  while (!state.stop) {
    const pushed = state.acknowledged[random.below(Math.max(1, state.acknowledged.length))];
    if (pushed === undefined) {
      await sleep(10);
      continue;
    }
    try {
      await registry.pullImage(pushed.name, pushed.tag, pushed.image);
      state.counts.pulled++;
    } catch (error) {
      rethrowUnlessBroken(error);
      state.counts.broken++;
      await sleep(50);
    }
  }
}

/** Pulls an image that must be there. Repeats requests that nginx sends to a node that starts. */
export function mustPull(registry: RegistryHttp, { name, tag, image }: Pushed): Promise<void> {
  return untilComplete(
    () => registry.pullImage(name, tag, image),
    () => undefined,
  );
}

/** Repeats a push or a pull that fails visibly, as clients do. */
async function untilComplete(attempt: () => Promise<void>, onBroken: () => void): Promise<void> {
  for (let number = 1; ; number++) {
    try {
      return await attempt();
    } catch (error) {
      rethrowUnlessBroken(error);
      if (number === maxAttempts) throw error;
      onBroken();
      await sleep(Math.min(2_000, 100 * number));
    }
  }
}

/**
 * Answers to a push that a kill broke: nginx repeats a PUT on another node, where the upload may have ended already, or has no bytes
 * because the first node was killed after it had named them and before it linked them. Or to one that took longer than the grace period.
 */
const broken =
  /: 50[234] instead of |^PUT (?:manifest|upload): 404 |^PUT upload: 400 .*no bytes arrived|MANIFEST_BLOB_UNKNOWN/;

/** Ignores broken connections, and pushes that are refused and so not acknowledged. Rethrows a 404 of a pull, and bytes of another digest. */
function rethrowUnlessBroken(error: unknown): void {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code === 'string' && /^(?:ECONN|EPIPE|UND_ERR_)/.test(code)) return;
  if (broken.test(String(message))) return;
  throw error;
}
