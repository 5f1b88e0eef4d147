import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { calculateJwkThumbprint, jwtVerify, SignJWT, type JWK } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { openSigningKeys } from '../../../src/access/tokens/open-signing-keys.js';
import type { SigningKeys } from '../../../src/access/tokens/signing-keys.js';
import { admin } from '../../support/access/callers.js';
import { memoryDocuments } from '../../support/storage/documents.js';
import { recordingLogger } from '../../support/servers/registry.js';

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

/** Whether the keys of one verify a token that those of the other signed. */
async function verifies(verifying: SigningKeys, signing: SigningKeys): Promise<boolean> {
  const { id, key } = await signing.signer();
  const token = await new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: id }).sign(key);
  const verifier = await verifying.verifier(id);
  return verifier !== undefined && (await jwtVerify(token, verifier)).protectedHeader.kid === id;
}

describe('managed signing keys', () => {
  it('are created on the first start and found on the next', async () => {
    const first = await open();
    const [info] = await first.list();
    expect(await first.list()).toEqual([{ id: info?.id, createdAt: now, origin: 'managed', signs: true }]);
    const second = await open();
    expect(await second.list()).toEqual(await first.list());
    expect(await verifies(second, first)).toBe(true);
    expect(await verifies(first, second)).toBe(true);
  });

  it('have their thumbprint as id (RFC 7638)', async () => {
    const keys = await open();
    const [record] = await store.documents('signing-key');
    const value = record?.value as { privateKey: JWK } | undefined;
    expect(record?.id).toBe(await calculateJwkThumbprint(value?.privateKey ?? {}));
    expect((await keys.signer()).id).toBe(record?.id);
  });

  it('sign with the new key after a rotation, and verify with the old one while its tokens live', async () => {
    const keys = await open();
    const old = (await keys.signer()).id;
    pass(1);
    const made = await keys.rotate(admin);
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
    ['the next rotation', async (keys: SigningKeys) => void (await keys.rotate(admin))],
    ['the next start', async () => void (await open())],
  ])('are deleted at %s after the last of their tokens expired, not before', async (_when, act) => {
    const keys = await open();
    const old = (await keys.signer()).id;
    await keys.rotate(admin);
    pass(29);
    await act(keys);
    expect(await store.document('signing-key', old)).toBeDefined();
    pass(2);
    await act(keys);
    expect(await store.document('signing-key', old)).toBeUndefined();
  });

  it('are replaced after 90 days, when they are to sign or at the start', async () => {
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

  it('sign with the old key if a new one cannot be stored', async () => {
    const keys = await open(undefined, {
      ...store,
      apply: (...given) => (now > 1_800_000_000_000 ? Promise.reject(new Error('disk full')) : store.apply(...given)),
    });
    const { id } = await keys.signer();
    pass(100);
    expect((await keys.signer()).id).toBe(id);
    expect(log.lines).toMatchObject([{ level: 'warn', message: 'signing key rotation failed' }]);
    await expect(keys.rotate(admin)).rejects.toThrow('disk full');
  });

  it('are the same in two processes on one store, even after concurrent rotations', async () => {
    const [one, other] = await Promise.all([open(), open()]);
    expect((await one.signer()).id).toBe((await other.signer()).id);
    await Promise.all([one.rotate(admin), other.rotate(admin)]);
    expect((await one.signer()).id).toBe((await other.signer()).id);
    expect(await verifies(one, other)).toBe(true);
    expect((await one.list()).filter(({ signs }) => signs)).toHaveLength(1);
  });

  it('include a new key as the newest even if the clock was set back', async () => {
    const keys = await open();
    pass(-10);
    const made = await keys.rotate(admin);
    expect((await keys.signer()).id).toBe(made.id);
  });

  it('do not verify what a deleted key signed', async () => {
    const keys = await open();
    const { id } = await keys.signer();
    await store.apply([{ type: 'document.delete', kind: 'signing-key', id }], { durable: true });
    expect(await keys.verifier(id)).toBeUndefined();
    expect((await keys.signer()).id).not.toBe(id);
  });
});

describe('declared signing keys', () => {
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
  ])('sign with the first (%s) and verify with all', async (_form, pems, first) => {
    const keys = await open(pems);
    const id = await calculateJwkThumbprint(first.publicKey.export({ format: 'jwk' }));
    expect((await keys.signer()).id).toBe(id);
    expect(await keys.list()).toHaveLength(pems.length);
    expect((await keys.list()).filter(({ signs }) => signs)).toEqual([
      { id, createdAt: now, origin: 'declared', signs: true },
    ]);
    expect(await verifies(keys, keys)).toBe(true);
    expect(await store.documents('signing-key')).toEqual([]);
  });

  it('verify what their predecessor signed if it is in the list', async () => {
    const before = await open([pkcs8]);
    expect(await verifies(await open([sec1, pkcs8]), before)).toBe(true);
    expect(
      await verifies(await open([sec1, a.publicKey.export({ type: 'spki', format: 'pem' }).toString()]), before),
    ).toBe(true);
    expect(await verifies(await open([sec1]), before)).toBe(false);
  });

  it('cannot be rotated through the API', async () => {
    await expect((await open([pkcs8])).rotate(admin)).rejects.toMatchObject({
      code: 'CONFLICT',
      message: 'the signing keys are declared in the options: change them there',
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
  ])('are rejected with %s', async (_what, pems) => {
    await expect(open(pems)).rejects.toThrow('the first signing key must be a private P-256 key');
  });
});
