import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';
import { RegistryError, type RegistryOptions } from '../../src/index.js';
import { Client, type Answer } from '../support/clients/client.js';
import { startMemoryRegistry, type TestRegistry } from '../support/servers/registry.js';
import { Cleanups } from '../support/upstreams/remote.js';
import { RecordingUpstream, type RecordedRequest } from './recording-upstream.js';
import type { Random } from './random.js';
import { fuzz, type Finding, type FuzzTarget, type Played } from './runner.js';
import { judgeAsked, judgeUpstreamAnswer, secretPattern } from './upstream-judge.js';
import {
  answerWith,
  makeContent,
  placeOf,
  type BentAnswer,
  type Content,
  type Substitutions,
} from './upstream-script.js';
import { generateUpstreamInput, type Ask, type UpstreamInput } from './upstreams.js';

type RepositoryOptions = NonNullable<RegistryOptions['repositories']>[number];

const slots = 40;
const maxMs = 20_000;

/** An upstream, the host that it leads to, and the repositories in front of it. */
interface Slot {
  readonly up: RecordingUpstream;
  readonly elsewhere: RecordingUpstream;
  readonly remotes: readonly RepositoryOptions[];
  readonly number: number;
}

/** Clients of a cache, a pass-through and a virtual repository over both, whose upstream answers whatever it likes. */
class Upstreams implements FuzzTarget<UpstreamInput> {
  readonly #registry: TestRegistry;
  readonly #client: Client;
  readonly #slots: readonly Slot[];
  readonly #cleanups: Cleanups;
  #images = 0;

  private constructor(registry: TestRegistry, slots: readonly Slot[], cleanups: Cleanups) {
    this.#registry = registry;
    this.#client = new Client(registry.url);
    this.#slots = slots;
    this.#cleanups = cleanups;
    cleanups.add(() => this.#client.close());
  }

  static async open(): Promise<Upstreams> {
    const cleanups = new Cleanups();
    const opened: Slot[] = [];
    for (let number = 0; number < slots; number++) {
      const up = await new RecordingUpstream().start();
      const elsewhere = await new RecordingUpstream().start();
      cleanups.add(() => Promise.all([up.close(), elsewhere.close()]));
      opened.push({ up, elsewhere, number, remotes: remotesOf(up.url, number) });
    }
    const registry = await startMemoryRegistry({ repositories: [], garbageCollection: { intervalSeconds: 0 } });
    cleanups.add(() => registry.close());
    const { repositories } = registry.registry;
    for (const { remotes, number } of opened) {
      for (const remote of remotes) await repositories.create(remote);
      const members = [`hub${number}`, `pass${number}`];
      await repositories.create({ name: `all${number}`, type: 'virtual', members });
    }
    return new Upstreams(registry, opened, cleanups);
  }

  generate(random: Random): UpstreamInput {
    return generateUpstreamInput(random);
  }

  async play(inputs: readonly UpstreamInput[]): Promise<Played<UpstreamInput>> {
    const logBefore = this.#registry.log.length;
    let served = 0;
    const judged = await Promise.all(
      inputs.map(async (input, i): Promise<Finding<UpstreamInput>[]> => {
        const { problems, isServed } = await this.#playOne(input, this.#slots[i] as Slot);
        if (isServed) served++;
        return problems.map((problem) => ({ input, problem }));
      }),
    );
    const logged = this.#registry.log
      .slice(logBefore)
      .flatMap(({ level, message, fields }): Finding<UpstreamInput>[] => {
        const text = `${message} ${inspect(fields, { breakLength: Infinity, depth: 6 })}`;
        const isSecret = secretPattern.test(text);
        // Wrong bytes of an upstream are found at their end.
        const isWrongBlob = 'err' in fields && fields.err instanceof RegistryError;
        if ((level !== 'error' || isWrongBlob) && !isSecret) return [];
        return [{ problem: `${isSecret ? 'secret ' : ''}logged: ${text.slice(0, 1500)}` }];
      });
    return { findings: [...judged.flat(), ...logged], served };
  }

  close(): Promise<void> {
    return this.#cleanups.run();
  }

  async #playOne(input: UpstreamInput, slot: Slot): Promise<{ problems: string[]; isServed: boolean }> {
    const { up, elsewhere, remotes, number } = slot;
    // Clients of the upstream that know nothing of earlier inputs.
    for (const remote of remotes) await this.#registry.registry.repositories.replace(remote);
    const image = `i${this.#images++}`;
    const content = makeContent(image, input.blobBytes);
    const by = substitutionsOf(slot, content);
    const left: BentAnswer[] = [...input.answers];
    const script = (request: RecordedRequest) => {
      const place = placeOf(request);
      const at = left.findIndex((answer) => answer.at === place);
      const [answer] = at < 0 ? [] : left.splice(at, 1);
      return answerWith(request, answer?.bends ?? [], content, by);
    };
    [up.script, elsewhere.script] = [script, script];
    [up.requests.length, elsewhere.requests.length] = [0, 0];
    const problems: string[] = [];
    let isServed = false;
    for (const ask of input.asks) {
      const path = pathOf(ask, `${ask.repository}${number}/${image}`, content);
      const answer = await this.#ask(ask, path);
      if (typeof answer === 'string') {
        if (answer !== 'cut') problems.push(answer);
        continue;
      }
      isServed ||= answer.status < 300;
      problems.push(...judgeUpstreamAnswer(ask, answer, path, content));
    }
    problems.push(...judgeAsked({ up: up.requests, elsewhere: elsewhere.requests }, input.asks.length));
    return { problems, isServed };
  }

  /** The answer; `cut` when its connection broke, and else what is wrong. */
  async #ask({ method, what }: Ask, path: string): Promise<Answer | string> {
    const headers = what === 'part' ? { range: 'bytes=0-9' } : {};
    const asked = method === 'HEAD' ? this.#client.head(path) : this.#client.get(path, headers);
    const answered = asked.catch((error: Error & { code?: string }) =>
      error.code?.startsWith('HPE') === true ? `what came is no HTTP: ${error.message}` : 'cut',
    );
    const deadline = new AbortController();
    const late = delay(maxMs, `no answer to ${method} ${what}`, { signal: deadline.signal }).catch(() => '');
    return Promise.race([answered, late]).finally(() => deadline.abort());
  }
}

function remotesOf(url: string, number: number): RepositoryOptions[] {
  const common = {
    type: 'remote',
    url,
    credentials: { username: 'puller', password: 'pw-SECRET' },
    connectTimeoutSeconds: 1,
    responseTimeoutSeconds: 0.5,
  } as const;
  return [
    { ...common, name: `hub${number}` },
    { ...common, name: `pass${number}`, cache: false, allowPrivateTargets: true },
    { ...common, name: `sent${number}`, cache: false, redirects: 'pass', allowPrivateTargets: true },
  ];
}

function substitutionsOf({ up, elsewhere }: Slot, { manifest, blobDigest }: Content): Substitutions {
  return {
    up: `127.0.0.1:${up.port}`,
    near: `127.0.0.1:${elsewhere.port}`,
    foreign: `localhost:${elsewhere.port}`,
    manifest: manifest.digest,
    blob: blobDigest,
    token: 'tok-SECRET',
  };
}

function pathOf({ what }: Ask, name: string, { manifest, blobDigest }: Content): string {
  switch (what) {
    case 'blob':
    case 'part':
      return `/v2/${name}/blobs/${blobDigest}`;
    case 'digest':
      return `/v2/${name}/manifests/${manifest.digest}`;
    case 'tags':
      return `/v2/${name}/tags/list`;
    case 'page':
      return `/v2/${name}/tags/list?n=1`;
    case 'referrers':
      return `/v2/${name}/referrers/${manifest.digest}`;
    default:
      return `/v2/${name}/manifests/latest`;
  }
}

fuzz<UpstreamInput>({ name: 'upstreams', batchSize: slots, minServed: 0.3, open: () => Upstreams.open() });
