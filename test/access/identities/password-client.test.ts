import { hashSync } from 'bcryptjs';
import { afterEach, describe, expect, it } from 'vitest';
import { Worker } from 'node:worker_threads';
import { PasswordClient, type PasswordClientOptions } from '../../../src/access/identities/password-client.js';
import { RegistryError } from '../../../src/index.js';

/** Replaces the worker: dies on the password `die`, never answers `wait`, and otherwise compares password and hash. */
const scripted = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', ({ password, hash }) => {
    if (password === 'die') throw new Error('out of order');
    if (password !== 'wait') parentPort.postMessage({ matches: password === hash });
  });`;

const lane = { place: '192.0.2.1', username: 'alice' };
const clients: PasswordClient[] = [];
let started = 0;

function open(options?: PasswordClientOptions): PasswordClient {
  const client = new PasswordClient(options);
  clients.push(client);
  return client;
}

function openScripted(): PasswordClient {
  const start = (): Worker => {
    started++;
    return new Worker(scripted, { eval: true, execArgv: [] });
  };
  return open({ start });
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  started = 0;
});

/** `true`, `false`, or the code of the refusal. */
async function outcomeOf(verification: Promise<boolean>): Promise<boolean | string> {
  try {
    return await verification;
  } catch (error) {
    if (error instanceof RegistryError) return error.code;
    throw error;
  }
}

describe('the thread that verifies passwords', () => {
  it.each<[string, string, string, boolean]>([
    ['the right password', 'päss wörd', hashSync('päss wörd', 4), true],
    ['another password', 'pass word', hashSync('päss wörd', 4), false],
    // Made by crypt(3) of libxcrypt, as `htpasswd -B` does.
    [
      'a $2y$ hash',
      'correct horse battery staple',
      '$2y$05$Wn3cPqLzR8vKd5TgYb1hO.g9KYuiQcsmuxeKm4Phy/5gwLp5b5gHC',
      true,
    ],
    ['a $2y$ hash of UTF-8', 'pässwörd', '$2y$05$Wn3cPqLzR8vKd5TgYb1hO.P3vmHnhwiioUV9ys7WWDFh0XPPlyDMG', true],
    ['a $2a$ hash', 'secret', hashSync('secret', 4).replace('$2b$', '$2a$'), true],
    ['a text that is not a hash', 'secret', 'secret', false],
  ])('verifies %s', async (_what, password, hash, expected) => {
    expect(await open().verify(password, hash, lane)).toBe(expected);
  });

  it('reports UNAVAILABLE for a hash that bcrypt cannot read, and continues', async () => {
    const client = open();
    const broken = `$9z$04$${'a'.repeat(53)}`;
    const verifications = [client.verify('a', broken, lane), client.verify('a', hashSync('a', 4), lane)];
    expect(await Promise.all(verifications.map(outcomeOf))).toEqual(['UNAVAILABLE', true]);
  });

  it('does not block the event loop', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    // On this thread, not even the slices that bcryptjs makes of its work would let so many ticks pass.
    const matches = await open().verify('secret', hashSync('other', 4).replace('$04$', '$12$'), lane);
    clearInterval(timer);
    expect(matches).toBe(false);
    expect(ticks).toBeGreaterThan(20);
  });

  it('is started once, by the first login', async () => {
    const client = openScripted();
    expect(started).toBe(0);
    const answers = await Promise.all(['a', 'b', 'c'].map((password) => client.verify(password, 'b', lane)));
    expect(answers).toEqual([false, true, false]);
    expect(started).toBe(1);
  });
});

describe('a password thread that dies', () => {
  it('fails the login that it was verifying; another thread verifies the others', async () => {
    const client = openScripted();
    const waiting = [client.verify('die', 'a', lane), client.verify('a', 'a', lane), client.verify('b', 'a', lane)];
    const [dead, ...others] = await Promise.all(waiting.map((one) => one.catch((error: unknown) => error)));
    expect(dead).toMatchObject({ code: 'UNAVAILABLE', status: 503, cause: { cause: { message: 'out of order' } } });
    expect(others).toEqual([true, false]);
    expect(started).toBe(2);
  });
});

describe('PasswordClient.close', () => {
  it('rejects waiting and later logins with UNAVAILABLE and starts no thread', async () => {
    const client = openScripted();
    const waiting = ['wait', 'a'].map((password) => outcomeOf(client.verify(password, 'a', lane)));
    await client.close();
    expect(await Promise.all(waiting)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
    expect(await outcomeOf(client.verify('a', 'a', lane))).toBe('UNAVAILABLE');
    expect(started).toBe(1);
  });

  it('does not start a thread if there was no login', async () => {
    await openScripted().close();
    expect(started).toBe(0);
  });
});
