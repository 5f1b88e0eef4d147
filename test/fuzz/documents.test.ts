import { afterAll, beforeAll, expect, it } from 'vitest';
import { Client, type Answer } from '../support/client.js';
import { describeBytes, imageManifest, types } from '../support/content.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { bendDocument } from './documents.js';
import { Random } from './random.js';
import { readFuzzSettings } from './settings.js';
import { Watchdog } from './watchdog.js';

const settings = readFuzzSettings(process.env);
/** A document is written durably when it is taken: that takes as long as a few requests. */
const rounds = Math.ceil(settings.rounds / 3);
let started: TestRegistry;
let client: Client;
beforeAll(async () => {
  started = await startRegistry({ garbageCollection: { intervalSeconds: 0 } });
  client = new Client(started.url);
});
afterAll(async () => {
  await client.close();
  await started.close();
});

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

function send(type: string, body: string): Promise<Answer> {
  if (type !== 'repository')
    return client.put('/v2/local/fuzzed/manifests/latest', { headers: { 'Content-Type': type }, body });
  return client.post('/api/v1/repositories', { headers: { 'Content-Type': 'application/json' }, body });
}

it(`${rounds} documents of seed ${settings.seed} are taken or refused in a moment`, async () => {
  const { seed } = settings;
  const watchdog = new Watchdog();
  let taken = 0;
  for (let round = 0; round < rounds; round++) {
    const random = new Random(seed * 1_000_033 + round);
    const { type, json } = random.pick(documents);
    const body = bendDocument(random, json);
    const { result, problems } = await watchdog.watch(() => send(type, body));
    const isAnswer = result.status === 201 || [400, 413].includes(result.status);
    const all = [...problems, ...(isAnswer ? [] : [`answered by ${result.status}`])];
    if (result.body.length > 64 * 1024) all.push(`an answer of ${result.body.length} bytes`);
    if (all.length > 0)
      expect.fail(
        `seed ${seed}, round ${round}, ${type}, ${body.length} bytes: ${all.join('; ')}\n${body.slice(0, 2000)}`,
      );
    if (result.status === 201) taken++;
    if (type === 'repository' && result.status === 201) await client.delete('/api/v1/repositories/x');
  }
  expect(started.log.filter(({ level }) => level === 'error')).toEqual([]);
  // Of documents that are all refused, little would be learnt.
  expect(taken / rounds).toBeGreaterThan(0.1);
});
