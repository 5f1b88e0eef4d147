import { Client, type Answer } from '../support/clients/client.js';
import { describeBytes, imageManifest, types } from '../support/content/content.js';
import { startRegistry, type TestRegistry } from '../support/servers/registry.js';
import { bendDocument } from './documents.js';
import type { Random } from './random.js';
import { fuzz, type FuzzTarget, type Played } from './runner.js';

const children = [1, 2].map((n) => ({
  ...describeBytes(types.ociImage, Buffer.from(`${n}`)),
  platform: { os: 'linux', architecture: 'amd64' },
}));
const documents: readonly { readonly type: string; readonly json: object }[] = [
  {
    type: types.ociImage,
    json: JSON.parse(imageManifest('fuzzed', { annotations: { a: 'b' } }).bytes.toString()) as object,
  },
  { type: types.dockerImage, json: { schemaVersion: 2, config: describeBytes('a', Buffer.from('{}')), layers: [] } },
  { type: types.ociIndex, json: { schemaVersion: 2, manifests: children, subject: children[0], annotations: {} } },
  { type: types.dockerIndex, json: { schemaVersion: 2, manifests: children } },
  {
    type: 'repository',
    json: {
      name: 'x',
      package_type: 'docker',
      repo_type: 'virtual',
      members: ['local', { name: 'a', include: ['b'] }],
    },
  },
  {
    type: 'repository',
    json: {
      name: 'x',
      package_type: 'docker',
      repo_type: 'remote',
      url: 'http://127.0.0.1:9',
      pins: ['a'],
      tag_ttl_rules: [{ tags: 'x', ttl_seconds: 1 }],
    },
  },
];

interface Document {
  /** A media type, or `repository` for a document of the management API. */
  readonly type: string;
  readonly body: string;
}

/** Documents are accepted or refused in a moment. */
class Documents implements FuzzTarget<Document> {
  readonly #started: TestRegistry;

  private constructor(started: TestRegistry) {
    this.#started = started;
  }

  static async open(): Promise<Documents> {
    return new Documents(await startRegistry({ garbageCollection: { intervalSeconds: 0 } }));
  }

  generate(random: Random): Document {
    const { type, json } = random.pick(documents);
    return { type, body: bendDocument(random, json) };
  }

  async play(inputs: readonly Document[]): Promise<Played<Document>> {
    const findings: { input: Document; problem: string }[] = [];
    const logBefore = this.#started.log.length;
    let served = 0;
    for (const input of inputs) {
      // A connection of its own: an old one may have been closed while this process did something else.
      const client = new Client(this.#started.url);
      const { status, body } = await send(client, input);
      if (status === 201) served++;
      else if (status !== 400 && status !== 413) findings.push({ input, problem: `answered ${status}` });
      if (body.length > 64 * 1024) findings.push({ input, problem: `an answer of ${body.length} bytes` });
      if (input.type === 'repository' && status === 201) await client.delete('/api/v1/repositories/x');
      await client.close();
    }
    for (const { level, message } of this.#started.log.slice(logBefore)) {
      if (level === 'error') findings.push({ input: inputs[0] as Document, problem: `logged: ${message}` });
    }
    return { findings, served };
  }

  close(): Promise<void> {
    return this.#started.close();
  }
}

function send(client: Client, { type, body }: Document): Promise<Answer> {
  if (type !== 'repository')
    return client.put('/v2/local/fuzzed/manifests/latest', { headers: { 'Content-Type': type }, body });
  return client.post('/api/v1/repositories', { headers: { 'Content-Type': 'application/json' }, body });
}

fuzz<Document>({ name: 'documents', batchSize: 1, minServed: 0.1, open: () => Documents.open() });
