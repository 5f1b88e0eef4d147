import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { basic, type Ask } from '../../support/access/access.js';
import type { Client } from '../../support/clients/client.js';
import {
  describeBytes,
  describeManifest,
  digest,
  indexManifest,
  manifestOf,
  types,
  type Manifest,
} from '../../support/content/content.js';
import { Command } from '../../support/servers/command.js';
import { scratchFolder, startExample } from '../../support/servers/examples.js';
import { Cleanups } from '../../support/upstreams/remote.js';

const cleanups = new Cleanups();
const ours = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const theirs = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const simpleType = 'application/vnd.dev.cosign.simplesigning.v1+json';
const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json';
const inToto = 'application/vnd.in-toto+json';
const signType = 'https://sigstore.dev/cosign/sign/v1';

let client: Client;
let command: Command;
let signer: Ask;

beforeAll(async () => {
  const COSIGN_KEY = path.join(await scratchFolder(cleanups), 'cosign.pub');
  await writeFile(COSIGN_KEY, ours.publicKey.export({ type: 'spki', format: 'pem' }));
  ({ client, command } = await startExample(cleanups, 'signed-images', { COSIGN_KEY, SIGNER_PASSWORD: 'a-secret' }));
  const scope = ['production/app', 'docker-internal/app'].map((name) => `scope=repository:${name}:pull,push`).join('&');
  const answer = await client.get(`/v2/token?${scope}`, { Authorization: basic('signer', 'a-secret') });
  const { token } = answer.json() as { token: string };
  signer = (method, place, { headers, ...send } = {}) =>
    client.send(method, place, { ...send, headers: { Authorization: `Bearer ${token}`, ...headers } });
});
afterAll(() => cleanups.run());

const pathOf = (reference: string, name = 'production/app'): string => `/v2/${name}/manifests/${reference}`;

async function put(manifest: Manifest, reference = manifest.digest, name = 'production/app'): Promise<void> {
  const headers = { 'Content-Type': manifest.type };
  const answer = await signer('PUT', pathOf(reference, name), { headers, body: manifest.bytes });
  expect(answer.status, answer.body.toString()).toBe(201);
}

async function pushBlob(bytes: Buffer, name = 'production/app'): Promise<void> {
  const place = `/v2/${name}/blobs/uploads/?digest=${digest(bytes)}`;
  expect((await signer('POST', place, { body: bytes })).status).toBe(201);
}

let images = 0;

/** Pushes an image that differs from all others. */
async function pushImage(name = 'production/app'): Promise<Manifest> {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', number: (images += 1) }));
  const layer = Buffer.from('a layer');
  for (const bytes of [config, layer]) await pushBlob(bytes, name);
  const layers = [describeBytes(types.ociLayer, layer)];
  const image = manifestOf(types.ociImage, { config: describeBytes(types.ociConfig, config), layers });
  await put(image, image.digest, name);
  return image;
}

/** What a signature is made of; the tests falsify parts of it. */
interface Signing {
  readonly key: KeyObject;
  /** The digest in the signed text. */
  readonly names: string;
  readonly type: string;
  /** Changes the bytes after they were signed. */
  readonly after: (text: string) => string;
}

interface Signed {
  readonly bytes: Buffer;
  readonly layer: Record<string, unknown>;
}

function signSimply({ key, names, type, after }: Signing): Signed {
  const identity = { 'docker-reference': 'registry.example/app' };
  const critical = { identity, image: { 'docker-manifest-digest': names }, type };
  const payload = Buffer.from(JSON.stringify({ critical, optional: null }));
  const signature = sign('sha256', payload, key).toString('base64');
  const bytes = Buffer.from(after(payload.toString()));
  const annotations = { 'dev.cosignproject.cosign/signature': signature };
  return { bytes, layer: { ...describeBytes(simpleType, bytes), annotations } };
}

function signBundle({ key, names, type, after }: Signing): Signed {
  const [algorithm = '', hex] = names.split(':');
  const subject = [{ digest: { [algorithm]: hex } }];
  const statement = { _type: 'https://in-toto.io/Statement/v1', subject, predicateType: type, predicate: {} };
  const payload = Buffer.from(JSON.stringify(statement));
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${inToto.length} ${inToto} ${payload.length} `), payload]);
  const sig = sign('sha256', signed, key).toString('base64');
  const text = Buffer.from(after(payload.toString())).toString('base64');
  const dsseEnvelope = { payload: text, payloadType: inToto, signatures: [{ sig }] };
  const bytes = Buffer.from(JSON.stringify({ mediaType: bundleType, verificationMaterial: {}, dsseEnvelope }));
  return { bytes, layer: describeBytes(bundleType, bytes) };
}

/** Pushes a signature and returns its manifest. Without a tag, it refers to the image. */
async function pushSignature({ bytes, layer }: Signed, image: Manifest, tag?: string): Promise<Manifest> {
  const config = Buffer.from('{}');
  for (const blob of [config, bytes]) await pushBlob(blob);
  const subject = tag === undefined ? { subject: describeManifest(image) } : {};
  const signature = manifestOf(types.ociImage, {
    config: describeBytes(types.ociConfig, config),
    layers: [layer],
    ...subject,
  });
  await put(signature, tag);
  return signature;
}

const simpleSigning = 'cosign container image signature';
const tagOf = (image: Manifest): string => `${image.digest.replace(':', '-')}.sig`;
const changed = (text: string): string => text.replace('}', ' }');
const forms = [
  ['as a tag', signSimply, true, simpleSigning],
  ['as a referrer', signSimply, false, simpleSigning],
  ['as a bundle', signBundle, false, signType],
] as const;

async function pulls(reference: string): Promise<number> {
  const [head, got] = [await client.head(pathOf(reference)), await client.get(pathOf(reference))];
  expect(head.status).toBe(got.status);
  return got.status;
}

describe.each(forms)('examples/signed-images with a signature %s', (_form, make, isTagged, type) => {
  async function signImage(image: Manifest, falsified: Partial<Signing> = {}): Promise<Manifest> {
    const signed = make({ key: ours.privateKey, names: image.digest, type, after: (text) => text, ...falsified });
    return pushSignature(signed, image, isTagged ? tagOf(image) : undefined);
  }

  it('serves an image once it is signed, and its signature to anyone', async () => {
    const image = await pushImage();
    await put(image, 'v1');
    const refused = await client.get(pathOf('v1'));
    expect([refused.status, refused.codes]).toEqual([403, ['DENIED']]);
    expect(refused.body.toString()).toContain(`${image.digest} is not signed`);
    const signature = await signImage(image);
    for (const reference of ['v1', image.digest, signature.digest]) expect(await pulls(reference)).toBe(200);
  });

  it('serves the platforms of a signed index, but not the index of a signed platform', async () => {
    const children = [await pushImage(), await pushImage()] as const;
    const index = indexManifest(children.map(describeManifest));
    await put(index);
    await signImage(children[0]);
    expect([await pulls(children[0].digest), await pulls(children[1].digest), await pulls(index.digest)]).toEqual([
      200, 403, 403,
    ]);
    await signImage(index);
    for (const { digest } of [...children, index]) expect(await pulls(digest)).toBe(200);
  });

  it.each<[string, Partial<Signing>]>([
    ['by another key', { key: theirs.privateKey }],
    ['for another image', { names: digest('another') }],
    ['that was changed', { after: changed }],
    ['of another type', { type: 'https://cosign.sigstore.dev/attestation/vuln/v1' }],
  ])('does not accept one %s', async (_what, falsified) => {
    const image = await pushImage();
    await signImage(image, falsified);
    expect(await pulls(image.digest)).toBe(403);
  });
});

describe('examples/signed-images', () => {
  it('does not accept bytes that are not a signature, and answers 403 to a malformed one', async () => {
    for (const text of ['not JSON', 'null', '{}', '{"dsseEnvelope":{"payload":1,"signatures":[{}]}}']) {
      const image = await pushImage();
      const bytes = Buffer.from(text);
      await pushSignature({ bytes, layer: describeBytes(bundleType, bytes) }, image);
      await pushSignature({ bytes, layer: describeBytes(simpleType, bytes) }, image, tagOf(image));
      expect([text, await pulls(image.digest)]).toEqual([text, 403]);
    }
  });

  it('does not take an image with a signature among its layers for a signature', async () => {
    const layer = Buffer.from('a layer');
    await pushBlob(layer);
    await pushBlob(Buffer.from('{}'));
    const layers = [describeBytes(simpleType, layer), describeBytes(types.ociLayer, layer)];
    const image = manifestOf(types.ociImage, { config: describeBytes(types.ociConfig, Buffer.from('{}')), layers });
    await put(image);
    expect(await pulls(image.digest)).toBe(403);
  });

  it('lets the signer pull unsigned images, and everyone pull from other repositories', async () => {
    const image = await pushImage();
    expect((await signer('GET', pathOf(image.digest))).status).toBe(200);
    expect(await pulls(image.digest)).toBe(403);
    await put(image, image.sha512);
    expect(await pulls(image.sha512)).toBe(403);
    const { digest } = await pushImage('docker-internal/app');
    expect((await client.get(pathOf(digest, 'docker-internal/app'))).status).toBe(200);
    expect((await client.post('/v2/production/app/blobs/uploads/')).status).toBe(401);
  });

  it('does not start with another kind of key or without a password', async () => {
    const folder = await scratchFolder(cleanups);
    const COSIGN_KEY = path.join(folder, 'rsa.pub');
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;
    await writeFile(COSIGN_KEY, rsa.export({ type: 'spki', format: 'pem' }));
    const p256 = path.join(folder, 'p256.pub');
    await writeFile(p256, ours.publicKey.export({ type: 'spki', format: 'pem' }));
    for (const [env, message] of [
      [{ COSIGN_KEY, SIGNER_PASSWORD: 'x' }, 'must be ECDSA P-256, not rsa'],
      [{ COSIGN_KEY: p256, SIGNER_PASSWORD: '' }, 'set SIGNER_PASSWORD'],
    ] as const) {
      const { code, stderr } = await new Command('examples/signed-images/server.mjs', [], { env }).ended();
      expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
    }
  });

  it('stops', async () => {
    await client.close();
    expect(await command.stop()).toMatchObject({ code: 0, stderr: '' });
  });
});
