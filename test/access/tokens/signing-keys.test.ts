import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, jwtVerify, SignJWT, type JWK } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { openSigningKeys } from '../../../src/access/tokens/open-signing-keys.js';
import type { SigningKeys } from '../../../src/access/tokens/signing-keys.js';
import { memoryDocuments } from '../../support/documents.js';
import { recordingLogger } from '../../support/registry.js';

const day = 86_400;
let now: number;
let log: ReturnType<typeof recordingLogger>;
let store: ReturnType<typeof memoryDocuments>;

beforeEach(() => {
  now = 1_800_000_000_000;
  log = recordingLogger();
  store = memoryDocuments();
});

function open(keys?: readonly string[], on = store): Promise<SigningKeys> {
  const runtime = { now: () => now, log };
  return openSigningKeys({ keys, store: on, runtime, rotateSeconds: 90 * day, keepSeconds: 30 * day });
}

function pass(days: number): void {
  now += days * day * 1000;
}

/** Whether what one signs, the other verifies. */
async function believes(verifying: SigningKeys, signing: SigningKeys): Promise<boolean> {
  const { id, key } = await signing.signer();
  const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: id }).sign(key);
  const verifier = await verifying.verifier(id);
  return verifier !== undefined && (await jwtVerify(token, verifier)).protectedHeader.kid === id;
}

describe('keys in the store', () => {
  it('makes one where there is none, and finds it again', async () => {
    const first = await open();
    const [info] = await first.list();
    expect(await first.list()).toEqual([{ id: info?.id, createdAt: now, origin: 'managed', signs: true }]);
    const second = await open();
    expect(await second.list()).toEqual(await first.list());
    expect(await believes(second, first)).toBe(true);
    expect(await believes(first, second)).toBe(true);
  });

  it('calls a key by its thumbprint (RFC 7638)', async () => {
    const keys = await open();
    const [record] = await store.documents('signing-key');
    const value = record?.value as { privateKey: JWK } | undefined;
    expect(record?.id).toBe(await calculateJwkThumbprint(value?.privateKey ?? {}));
    expect((await keys.signer()).id).toBe(record?.id);
  });

  it('signs with the new one after a rotation, and verifies with the old one while its tokens live', async () => {
    const keys = await open();
    const old = (await keys.signer()).id;
    pass(1);
    const made = await keys.rotate();
    expect(made).toMatchObject({ createdAt: now, origin: 'managed', signs: true });
    expect((await keys.signer()).id).toBe(made.id);
    expect(await keys.list()).toMatchObject([
      { id: made.id, signs: true },
      { id: old, signs: false },
    ]);
    now += 30 * day * 1000 - 1;
    expect(await keys.verifier(old)).toBeDefined();
    now += 1;
    expect(await keys.verifier(old)).toBeUndefined();
    expect(await keys.list()).toMatchObject([{ id: made.id }]);
  });

  it.each([
    ['the next rotation', async (keys: SigningKeys) => void (await keys.rotate())],
    ['the next start', async () => void (await open())],
  ])('deletes it at %s after that, and not before', async (_when, act) => {
    const keys = await open();
    const old = (await keys.signer()).id;
    await keys.rotate();
    pass(29);
    await act(keys);
    expect(await store.document('signing-key', old)).toBeDefined();
    pass(2);
    await act(keys);
    expect(await store.document('signing-key', old)).toBeUndefined();
  });

  it('replaces a key that has grown old, when it is to sign and when it is opened', async () => {
    const keys = await open();
    const { id } = await keys.signer();
    pass(89);
    expect((await keys.signer()).id).toBe(id);
    pass(1);
    const signers = await Promise.all([keys.signer(), keys.signer(), keys.signer()]);
    expect(new Set(signers.map((signer) => signer.id)).size).toBe(1);
    expect(signers[0]?.id).not.toBe(id);
    pass(90);
    expect((await (await open()).list()).map(({ signs }) => signs)).toEqual([true, false]);
  });

  it('signs with the old one when a new one cannot be kept', async () => {
    const keys = await open(undefined, {
      ...store,
      apply: (...given) => (now > 1_800_000_000_000 ? Promise.reject(new Error('disk full')) : store.apply(...given)),
    });
    const { id } = await keys.signer();
    pass(100);
    expect((await keys.signer()).id).toBe(id);
    expect(log.lines).toMatchObject([{ level: 'warn', message: 'cannot replace the signing key' }]);
    await expect(keys.rotate()).rejects.toThrow('disk full');
  });

  it('agrees with another process on the same store, whoever rotates', async () => {
    const [one, other] = await Promise.all([open(), open()]);
    expect((await one.signer()).id).toBe((await other.signer()).id);
    await Promise.all([one.rotate(), other.rotate()]);
    expect((await one.signer()).id).toBe((await other.signer()).id);
    expect(await believes(one, other)).toBe(true);
    expect((await one.list()).filter(({ signs }) => signs)).toHaveLength(1);
  });

  it('makes the new key the newest even when the clock went back', async () => {
    const keys = await open();
    pass(-10);
    const made = await keys.rotate();
    expect((await keys.signer()).id).toBe(made.id);
  });

  it('believes nothing that a deleted key signed', async () => {
    const keys = await open();
    const { id } = await keys.signer();
    await store.apply([{ type: 'document.delete', kind: 'signing-key', id }], { durable: true });
    expect(await keys.verifier(id)).toBeUndefined();
    expect((await keys.signer()).id).not.toBe(id);
  });
});

describe('given keys', () => {
  const pair = (): { privateKey: KeyObject; publicKey: KeyObject } =>
    generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [a, b, c] = [pair(), pair(), pair()];
  const pkcs8 = a.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const sec1 = b.privateKey.export({ type: 'sec1', format: 'pem' }).toString();
  const spki = c.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  // As `openssl ecparam -genkey` writes it: OID prime256v1 first.
  const parameters = '-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n';

  it.each([
    ['PKCS #8', [pkcs8, sec1, spki], a],
    ['SEC 1', [sec1, pkcs8], b],
    ['SEC 1 after its parameters', [parameters + sec1], b],
  ])('signs with the first (%s), verifies with all', async (_form, pems, first) => {
    const keys = await open(pems);
    const id = await calculateJwkThumbprint(first.publicKey.export({ format: 'jwk' }));
    expect((await keys.signer()).id).toBe(id);
    expect(await keys.list()).toHaveLength(pems.length);
    expect((await keys.list()).filter(({ signs }) => signs)).toEqual([
      { id, createdAt: now, origin: 'declared', signs: true },
    ]);
    expect(await believes(keys, keys)).toBe(true);
    expect(await store.documents('signing-key')).toEqual([]);
  });

  it('believes what the key before it signed', async () => {
    const before = await open([pkcs8]);
    expect(await believes(await open([sec1, pkcs8]), before)).toBe(true);
    expect(
      await believes(await open([sec1, a.publicKey.export({ type: 'spki', format: 'pem' }).toString()]), before),
    ).toBe(true);
    expect(await believes(await open([sec1]), before)).toBe(false);
  });

  it('are not rotated', async () => {
    await expect((await open([pkcs8])).rotate()).rejects.toMatchObject({
      code: 'CONFLICT',
      message: 'the keys are given in the options',
    });
  });

  it.each([
    ['a public key first', [spki]],
    [
      'another curve',
      [
        generateKeyPairSync('ec', { namedCurve: 'P-384' })
          .privateKey.export({ type: 'pkcs8', format: 'pem' })
          .toString(),
      ],
    ],
    ['no key', ['hello']],
    ['no keys', []],
  ])('refuses %s', async (_what, pems) => {
    await expect(open(pems)).rejects.toThrow('the first key must be a private P-256 key');
  });
});
