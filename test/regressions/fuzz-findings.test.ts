import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAnswers } from '../fuzz/answers.js';
import { rawAnswer, RecordingUpstream } from '../fuzz/recording-upstream.js';
import { openScene, type Scene } from '../fuzz/scene.js';
import { Client } from '../support/clients/client.js';
import { digest, someBytes } from '../support/content/content.js';
import { RawConnection } from '../support/clients/raw.js';
import { startMemoryRegistry } from '../support/servers/registry.js';
import { Cleanups } from '../support/upstreams/remote.js';

describe('one connection of the standalone server', () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await openScene();
  });
  afterAll(() => scene.close());

  const exchange = async (text: string): Promise<number[]> => {
    const connection = await RawConnection.open(scene.ports[0] ?? 0);
    let received = '';
    connection.socket.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    await connection.write(text);
    await connection.untilClosed();
    return parseAnswers(received).map(({ status }) => status);
  };
  const head = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
  const close = 'Connection: close\r\n';

  it('stays open after an answer of the server itself to a request without a body', async () => {
    expect(await exchange(head('/nowhere') + head('/healthz') + head('/v2/', close))).toEqual([404, 200, 401]);
  });

  it('gets no further answer after the one that was said to be the last', async () => {
    // HTTP/0.9, and then what is no request.
    expect(await exchange('GET /\n\r\n' + head('/v2/'))).toEqual([505]);
  });

  it('ends after the answers that are due when a body that waits its turn is broken', async () => {
    const upload =
      'PUT /v2/public/ana/app/manifests/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n';
    expect(await exchange(head('/v2/pass/public/app/manifests/latest') + head('/v2/') + upload)).toEqual([200, 401]);
  });

  it('logs no error when the client leaves before its whole body is read', async () => {
    const token = `Authorization: Bearer ${await scene.anaToken()}\r\n`;
    const upload = `POST /v2/public/ana/app/blobs/uploads/?digest=${digest('body')} HTTP/1.1\r\nHost: a\r\n${token}`;
    for (let i = 0; i < 10; i++) {
      const events = scene.events.size;
      const connection = await RawConnection.open(scene.ports[0] ?? 0);
      await connection.write(`${upload}Content-Length: 4\r\n\r\nbody`);
      connection.cut();
      while (scene.events.size === events || scene.server.requestsInFlight > 0) await delay(1);
    }
    expect(scene.log.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('an upstream', () => {
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
    'that answers %s to a plain GET of a pass-through gives 503',
    async (status) => {
      const bare = status.startsWith('204') || status.startsWith('304');
      const whole = rawAnswer(status, { 'Content-Range': 'bytes 0-1/9' }, bare ? '' : '{}');
      upstream.script = () => (bare ? whole.replace(/Content-Length: 0\r\n/, '') : whole);
      const answer = await client.get(`/v2/pass/app/blobs/${digest('x')}`);
      expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    },
  );

  it.each([
    ['other bytes', someBytes('other', 5000), 5000],
    ['one byte more', someBytes('right', 5001), 5000],
    ['the beginning alone, and its size as the size', someBytes('right', 4000), 4000],
  ])(
    'that sends %s never makes a whole blob of a virtual repository over a pass-through',
    async (_what, bytes, size) => {
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
    },
  );

  it('that sends an empty blob in place of a cached one is to blame, with 503 and not 400', async () => {
    upstream.script = () => rawAnswer('200 OK', {});
    const answer = await client.get(`/v2/hub/app/blobs/${digest('not empty')}`);
    expect([answer.status, answer.codes]).toEqual([503, ['UNAVAILABLE']]);
    expect(answer.body.toString()).toContain('another digest');
  });
});
