import { createPrivateKey, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import { z } from '../zod.js';
import { describe } from './option-schema.js';

/** Parses a private (PKCS #8 or SEC 1) or public P-256 key in PEM. Returns `undefined` for anything else. */
export function parseEs256Pem(pem: string): KeyObject | undefined {
  const key = parseKey(pem);
  return key?.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined;
}

/**
 * Parses the public keys of a PEM text with one or more keys or certificates. Returns `undefined` if any of them cannot verify
 * signatures.
 */
export function parsePublicPems(text: string): KeyObject[] | undefined {
  const pems = text.match(/-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g) ?? [];
  const keys = pems.map((pem) => (/^-----BEGIN [A-Z0-9 ]*PRIVATE/.test(pem) ? undefined : parseKey(pem)));
  const usable = keys.filter((key) => key !== undefined).filter(isForSignatures);
  return keys.length > 0 && usable.length === keys.length ? usable : undefined;
}

/** Returns whether a text has at least one certificate in PEM, and no broken one. Node ignores broken ones silently. */
function hasCertificates(text: string): boolean {
  const pems = text.match(/-----BEGIN (TRUSTED |X509 )?CERTIFICATE-----[^-]+-----END \1CERTIFICATE-----/g) ?? [];
  return pems.length > 0 && pems.every(isCertificate);
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

function isForSignatures({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): boolean {
  if (type === 'rsa') return (details?.modulusLength ?? 0) >= 2048;
  if (type === 'ec') return ['prime256v1', 'secp384r1', 'secp521r1'].includes(details?.namedCurve ?? '');
  return type === 'ed25519';
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return /-----BEGIN [A-Z0-9 ]*PRIVATE/.test(pem) ? createPrivateKey(pem) : createPublicKey(pem);
  } catch {
    return undefined;
  }
}

/** Certificates of a private certificate authority, for an upstream or a receiver. */
export const certificatesSchema = z
  .optional(
    z
      .string()
      .check(
        z.refine((text) => text === '' || hasCertificates(text), 'must be certificates in PEM, not the path of a file'),
      ),
  )
  .apply(describe, {
    description:
      'Certificates of a private certificate authority in PEM, trusted in addition to the public authorities.',
    unset: 'none',
  });
