import { hashSync } from 'bcryptjs';
import { afterEach, describe, expect, it } from 'vitest';
import { Worker } from 'node:worker_threads';
import { PasswordClient, type PasswordClientOptions } from '../../src/access/password-client.js';
import { RegistryError } from '../../src/index.js';

/** Stands in for the worker: dies of the password `die`, never answers `wait`, and else says whether password and hash are the same. */
const scripted = `
  const { parentPort } = require('node:worker_threads');
  parentPort.on('message', ({ job, password, hash }) => {
    if (password === 'die') throw new Error('out of order');
    if (password !== 'wait') parentPort.postMessage({ job, matches: password === hash });
  });`;

const clients: PasswordClient[] = [];
let started = 0;

function open(options?: PasswordClientOptions): PasswordClient {
  const client = new PasswordClient(options);
  clients.push(client);
  return client;
}

function openScripted(maxWaiting?: number): PasswordClient {
  const start = (): Worker => {
    started++;
    return new Worker(scripted, { eval: true, execArgv: [] });
  };
  return open({ start, maxWaiting });
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
    ['the right one', 'päss wörd', hashSync('päss wörd', 4), true],
    ['another one', 'pass word', hashSync('päss wörd', 4), false],
    // Made by crypt(3) of libxcrypt, as `htpasswd -B` does.
    ['$2y$', 'correct horse battery staple', '$2y$05$Wn3cPqLzR8vKd5TgYb1hO.g9KYuiQcsmuxeKm4Phy/5gwLp5b5gHC', true],
    ['$2y$ in UTF-8', 'pässwörd', '$2y$05$Wn3cPqLzR8vKd5TgYb1hO.P3vmHnhwiioUV9ys7WWDFh0XPPlyDMG', true],
    ['$2a$', 'secret', hashSync('secret', 4).replace('$2b$', '$2a$'), true],
    ['what is no hash', 'secret', 'secret', false],
  ])('%s', async (_what, password, hash, expected) => {
    expect(await open().verify(password, hash)).toBe(expected);
  });

  it('could not tell with a hash that bcrypt cannot read, and goes on', async () => {
    const client = open();
    const broken = `$9z$04$${'a'.repeat(53)}`;
    const verifications = [client.verify('a', broken), client.verify('a', hashSync('a', 4))];
    expect(await Promise.all(verifications.map(outcomeOf))).toEqual(['UNAVAILABLE', true]);
  });

  it('leaves the event loop free', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    // On this thread, not even the slices that bcryptjs makes of its work would let so many ticks pass.
    const matches = await open().verify('secret', hashSync('other', 4).replace('$04$', '$12$'));
    clearInterval(timer);
    expect(matches).toBe(false);
    expect(ticks).toBeGreaterThan(20);
  });

  it('is one for all, and started with the first login', async () => {
    const client = openScripted();
    expect(started).toBe(0);
    const answers = await Promise.all(['a', 'b', 'c'].map((password) => client.verify(password, 'b')));
    expect(answers).toEqual([false, true, false]);
    expect(started).toBe(1);
  });
});

describe('the queue', () => {
  it('refuses at once what finds it full, and takes more as soon as there is room', async () => {
    const client = openScripted(2);
    const first = [client.verify('a', 'a'), client.verify('b', 'a')];
    const refusal: unknown = await client.verify('c', 'a').catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'TOOMANYREQUESTS', status: 429, headers: { 'Retry-After': '1' } });
    expect(await Promise.all(first)).toEqual([true, false]);
    expect(await client.verify('a', 'a')).toBe(true);
  });

  it('is 64 long when nobody says otherwise', async () => {
    const client = openScripted();
    const outcomes = await Promise.all(Array.from({ length: 70 }, () => outcomeOf(client.verify('a', 'a'))));
    expect(outcomes.map((outcome) => outcome === true)).toEqual(Array.from({ length: 70 }, (_, i) => i < 64));
    expect(new Set(outcomes)).toEqual(new Set([true, 'TOOMANYREQUESTS']));
  });
});

describe('a thread that dies', () => {
  it('could not tell what waits for it, and the next login starts another', async () => {
    const client = openScripted();
    const waiting = [client.verify('wait', 'a'), client.verify('die', 'a'), client.verify('a', 'a')];
    const reasons = await Promise.all(waiting.map((one) => one.then(String, (error: unknown) => error)));
    for (const reason of reasons) {
      expect(reason).toMatchObject({ code: 'UNAVAILABLE', status: 503, cause: { cause: { message: 'out of order' } } });
    }
    expect(await client.verify('a', 'a')).toBe(true);
    expect(started).toBe(2);
  });
});

describe('closing', () => {
  it('tells who waits that it could not be told, and starts nothing more', async () => {
    const client = openScripted();
    const waiting = outcomeOf(client.verify('wait', 'a'));
    await client.close();
    expect(await waiting).toBe('UNAVAILABLE');
    expect(await outcomeOf(client.verify('a', 'a'))).toBe('UNAVAILABLE');
    expect(started).toBe(1);
  });

  it('does nothing where nobody ever logged in', async () => {
    await openScripted().close();
    expect(started).toBe(0);
  });
});
