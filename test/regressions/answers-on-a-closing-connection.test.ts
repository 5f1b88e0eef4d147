import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseAnswers } from '../fuzz/answers.js';
import { openScene, type Scene } from '../fuzz/scene.js';
import { RawConnection } from '../support/clients/raw.js';
import { digest } from '../support/content/content.js';

describe('a connection of the standalone server', () => {
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

  it('stays open after a 404 of the server itself to a request without a body', async () => {
    expect(await exchange(head('/nowhere') + head('/healthz') + head('/v2/', close))).toEqual([404, 200, 401]);
  });

  it('gets no answer after one that announces the end of the connection', async () => {
    // HTTP/0.9, followed by bytes that are not a request.
    expect(await exchange('GET /\n\r\n' + head('/v2/'))).toEqual([505]);
  });

  it('ends after the answers to earlier requests when the body of a waiting request is malformed', async () => {
    const upload =
      'PUT /v2/public/ana/app/manifests/v1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n';
    expect(await exchange(head('/v2/pass/public/app/manifests/latest') + head('/v2/') + upload)).toEqual([200, 401]);
  });

  it('logs no error when the client disconnects before its whole body is read', async () => {
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
