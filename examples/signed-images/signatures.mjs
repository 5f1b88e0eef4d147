// Finds and checks the signatures that `cosign sign --key` stores beside an image, in each of its three forms.
import { createPublicKey, verify } from 'node:crypto';

const simpleType = 'application/vnd.dev.cosign.simplesigning.v1+json';
const bundleTypes = /^application\/vnd\.dev\.sigstore\.bundle(\.v0\.3\+json|\+json;version=0\.[1-3])$/;
const envelopeType = 'application/vnd.dsse.envelope.v1+json';
const maxSignatureBytes = 1024 * 1024;

/** Reads `cosign.pub`. @throws Error for another kind of key than `cosign generate-key-pair` creates. */
export function readKey(pem) {
  const key = createPublicKey(pem);
  const { namedCurve } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'ec' && namedCurve === 'prime256v1') return key;
  throw new Error(`the key of cosign must be ECDSA P-256, not ${namedCurve ?? key.asymmetricKeyType}`);
}

/** Returns whether a manifest has only signatures and attestations as layers, which no client can run. */
export function isSignature({ layers }) {
  const types = layers.map(({ mediaType }) => mediaType);
  return types.length > 0 && types.every((type) => isSignatureType(type) || type === envelopeType);
}

/** Returns whether the key signed a manifest, or an index of the image that lists it. */
export async function isSigned(read, digest, key) {
  if (await hasSignature(read, digest, key)) return true;
  for (const index of await read.indexesOf(digest)) {
    if (await hasSignature(read, index, key)) return true;
  }
  return false;
}

async function hasSignature(read, digest, key) {
  const [algorithm, hex] = digest.split(':');
  // The tag of a longer digest would exceed 128 characters.
  const tagged = algorithm === 'sha256' ? await read.manifest(`sha256-${hex}.sig`) : undefined;
  if (tagged !== undefined && (await holdsSignature(read, tagged, digest, key))) return true;
  for (const referrer of await read.referrers(digest)) {
    const manifest = await read.manifest(referrer.digest);
    if (manifest !== undefined && (await holdsSignature(read, manifest, digest, key))) return true;
  }
  return false;
}

async function holdsSignature(read, { layers }, digest, key) {
  for (const layer of layers) {
    if (!isSignatureType(layer.mediaType) || layer.size > maxSignatureBytes) continue;
    const bytes = await read.blob(layer.digest);
    if (bytes !== undefined && isValid(bytes, layer, digest, key)) return true;
  }
  return false;
}

function isSignatureType(type) {
  return type === simpleType || bundleTypes.test(type);
}

/** Returns false for anything malformed: a user who may push can store anything as a signature. */
function isValid(bytes, { mediaType, annotations }, digest, key) {
  try {
    if (mediaType !== simpleType) return isValidBundle(JSON.parse(bytes), digest, key);
    const signature = annotations['dev.cosignproject.cosign/signature'];
    return hasSigned(key, bytes, signature) && namesImage(JSON.parse(bytes), digest);
  } catch {
    return false;
  }
}

/** A signature says which manifest it is for, so that it cannot be copied to another one. */
function namesImage({ critical }, digest) {
  return critical.type === 'cosign container image signature' && critical.image['docker-manifest-digest'] === digest;
}

/** Checks a DSSE envelope. The key may also sign attestations, such as a list of vulnerabilities: those approve nothing. */
function isValidBundle({ dsseEnvelope: { payload, payloadType, signatures } }, digest, key) {
  const body = Buffer.from(payload, 'base64');
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${body.length} `;
  const signed = Buffer.concat([Buffer.from(head), body]);
  if (!signatures.some(({ sig }) => hasSigned(key, signed, sig))) return false;
  const { predicateType, subject } = JSON.parse(body);
  const [algorithm, hex] = digest.split(':');
  const isSigning = payloadType === 'application/vnd.in-toto+json' && predicateType === signType;
  return isSigning && subject.some((one) => one.digest[algorithm] === hex);
}

const signType = 'https://sigstore.dev/cosign/sign/v1';

function hasSigned(key, bytes, signature) {
  return verify('sha256', bytes, key, Buffer.from(signature, 'base64'));
}
