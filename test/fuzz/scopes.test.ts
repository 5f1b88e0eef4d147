import { exportSPKI } from 'jose';
import { Client, type Answer } from '../support/clients/client.js';
import { imageManifest } from '../support/content/content.js';
import { makeKeyPair, signJwt, type KeyPair } from '../support/access/forged-tokens.js';
import { startMemoryRegistry } from '../support/servers/registry.js';
import { Cleanups, MovableClock } from '../support/upstreams/remote.js';
import { judgeLog } from './judge.js';
import type { Random } from './random.js';
import { fuzz, type Finding, type FuzzTarget, type Played } from './runner.js';
import { openScene, secretTag, type Scene } from './scene.js';
import { judgePresented, judgeTokenAnswer } from './scope-judge.js';
import { authorizationOf, encodeParameters, generateScopeInput, type ScopeInput, type TokenRequest } from './scopes.js';

/** Longer than failed logins are remembered. */
const batchSeconds = 16 * 60;
const server = { issuer: 'https://tokens.example', service: 'fuzzed', realm: 'https://tokens.example/token' };

/** Scopes that are asked for, and claims that are presented: a token never gives what the rules do not. */
class Scopes implements FuzzTarget<ScopeInput> {
  readonly #clock: MovableClock;
  readonly #scene: Scene;
  readonly #external: Client;
  readonly #keys: KeyPair;
  readonly #cleanups: Cleanups;

  private constructor(clock: MovableClock, scene: Scene, external: Client, keys: KeyPair, cleanups: Cleanups) {
    this.#clock = clock;
    this.#scene = scene;
    this.#external = external;
    this.#keys = keys;
    this.#cleanups = cleanups;
  }

  static async open(): Promise<Scopes> {
    const cleanups = new Cleanups();
    const clock = new MovableClock();
    cleanups.add(async () => clock.restore());
    const scene = await openScene();
    cleanups.add(() => scene.close());
    const keys = await makeKeyPair('ES256');
    const started = await startMemoryRegistry({
      access: { tokenServer: { ...server, keys: [await exportSPKI(keys.publicKey)] } },
      repositories: ['public', 'secret'].map((name) => ({ name, type: 'local', sparse: true })),
    });
    cleanups.add(() => started.close());
    const external = new Client(started.url);
    cleanups.add(() => external.close());
    const scopes = new Scopes(clock, scene, external, keys, cleanups);
    for (const name of ['public/app', 'secret/x']) await scopes.#push(name);
    return scopes;
  }

  async prepare(): Promise<void> {
    this.#clock.advance(batchSeconds);
  }

  generate(random: Random): ScopeInput {
    return generateScopeInput(random);
  }

  async play(inputs: readonly ScopeInput[]): Promise<Played<ScopeInput>> {
    const logBefore = this.#scene.log.length;
    let served = 0;
    const judged = await Promise.all(
      inputs.map(async (input): Promise<Finding<ScopeInput>[]> => {
        const { problems, status } = await this.#try(input);
        if (status === 200) served++;
        return problems.map((problem) => ({ input, problem }));
      }),
    );
    const logged = judgeLog(this.#scene.log.slice(logBefore)).map((problem) => ({ problem }));
    return { findings: [...judged.flat(), ...logged], served };
  }

  close(): Promise<void> {
    return this.#cleanups.run();
  }

  async #try(input: ScopeInput): Promise<{ problems: string[]; status: number }> {
    if (input.what === 'present') {
      const headers = { authorization: await this.#tokenFor(input.access) };
      const answer = await this.#external.get(`/v2/${input.name}/manifests/latest`, headers);
      return { problems: judgePresented(input, answer), status: answer.status };
    }
    const answer = await this.#ask(input);
    const problems = judgeTokenAnswer(input, answer);
    if (answer.status === 200 && input.method !== 'HEAD') {
      const { token } = answer.json() as { token: string };
      const path = `/v2/secret/x/manifests/${secretTag}`;
      const { status } = await this.#scene.client.get(path, { authorization: `Bearer ${token}` });
      if (status < 400) problems.push(`the token opened ${path}`);
    }
    return { problems, status: answer.status };
  }

  async #push(name: string): Promise<void> {
    const { type, bytes } = imageManifest(name);
    const authorization = await this.#tokenFor([{ type: 'repository', name, actions: ['pull', 'push'] }]);
    const headers = { authorization, 'content-type': type };
    const { status } = await this.#external.put(`/v2/${name}/manifests/latest`, { headers, body: bytes });
    if (status !== 201) throw new Error(`the scene is not set: a manifest got ${status}`);
  }

  async #tokenFor(access: unknown): Promise<string> {
    const exp = Math.floor(Date.now() / 1000) + 60;
    const claims = { iss: server.issuer, aud: server.service, sub: 'robot', exp, access };
    return `Bearer ${await signJwt(claims, { alg: 'ES256', typ: 'JWT' }, this.#keys.privateKey)}`;
  }

  #ask(input: TokenRequest): Promise<Answer> {
    const parameters = encodeParameters(input);
    const authorization = authorizationOf(input);
    const headers = { host: input.host, ...(authorization === undefined ? {} : { authorization }) };
    if (input.method !== 'POST')
      return this.#scene.client.send(input.method as 'GET', `/v2/token?${parameters}`, { headers });
    const contentType = { 'content-type': input.contentType };
    return this.#scene.client.post('/v2/token', { headers: { ...headers, ...contentType }, body: parameters });
  }
}

fuzz<ScopeInput>({ name: 'scopes', batchSize: 40, minServed: 0.2, open: () => Scopes.open() });
