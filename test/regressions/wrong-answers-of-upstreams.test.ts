import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawAnswer, RecordingUpstream } from '../fuzz/recording-upstream.js';
import { Client } from '../support/clients/client.js';
import { digest, someBytes } from '../support/content/content.js';
import { startMemoryRegistry } from '../support/servers/registry.js';
import { Cleanups } from '../support/upstreams/remote.js';

describe('a wrong answer of an upstream', () => {
  const cleanups = new Cleanups();
  let upstream: RecordingUpstream;
  let client: Client;
  beforeAll(async () => {
    upstream = await new RecordingUpstream().start();
    cleanups.add(() => upstream.close());
    const { url } = upstream;
    const server = await startMemoryRegistry({
      repositories: [
        { name: 'hub', type: 'remote', url },
        { name: 'pass', type: 'remote', url, cache: false },
        { name: 'all', type: 'virtual', members: ['pass'] },
      ],
    });
    cleanups.add(() => server.close());
    client = new Client(server.url);
    cleanups.add(() => client.close());
  });
  afterAll(() => cleanups.run());

  it.each(['201 Created', '204 No Content', '206 Partial Content', '304 Not Modified'])(
    'with the status %s to a plain GET of a pass-through gives 503',
    async (status) => {
      const bare = status.startsWith('204') || status.startsWith('304');
      const whole = rawAnswer(status, { 'Content-Range': 'bytes 0-1/9' }, bare ? '' : '{}');
      upstream.script = () => (bare ? whole.replace(/Content-Length: 0\r\n/, '') : whole);
      const answer = await client.get(`/v2/pass/app/blobs/${digest('x')}`);
      expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    },
  );

  it.each([
    ['with other bytes', someBytes('other', 5000), 5000],
    ['with one more byte', someBytes('right', 5001), 5000],
    ['with only the beginning, and the size of the beginning', someBytes('right', 4000), 4000],
  ])('%s never completes a blob of a virtual repository over a pass-through', async (_title, bytes, size) => {
    const right = digest(someBytes('right', 5000));
    upstream.script = ({ line }) => {
      const length = { 'Content-Length': String(line.startsWith('HEAD') ? size : bytes.length) };
      return rawAnswer('200 OK', length, line.startsWith('HEAD') ? '' : bytes.toString('latin1'));
    };
    const outcome = await client.get(`/v2/all/app/blobs/${right}`).then(
      ({ status }) => status,
      () => 'cut',
    );
    expect(['cut', 503]).toContain(outcome);
  });

  it('with an empty blob for a cache gives 503, not 400', async () => {
    upstream.script = () => rawAnswer('200 OK', {});
    const answer = await client.get(`/v2/hub/app/blobs/${digest('not empty')}`);
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).toContain('another digest');
  });
});
