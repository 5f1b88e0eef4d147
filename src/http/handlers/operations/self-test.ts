import { createHash } from 'node:crypto';
import { RegistryError } from '../../../protocol/errors.js';
import type { SelfTestDocument } from '../../../protocol/documents/self-test.js';
import { declaredLength, openBody } from '../../bodies/body.js';
import type { Exchange } from '../../exchange.js';
import { jsonReply, type Reply } from '../../reply.js';

const maxBytes = 1024 ** 3;

type Measured = Pick<Exchange<object>, 'req' | 'client' | 'prefix'>;

/**
 * Counts and hashes a body of at most 1 GiB, and stores nothing, so that clients can find out what proxies on the way
 * let through.
 * @throws RegistryError SIZE_INVALID 413; BLOB_UPLOAD_INVALID when the body ends early.
 */
export async function measureBody({ req, client, prefix }: Measured): Promise<Reply> {
  const announced = declaredLength(req);
  if ((announced ?? 0) > maxBytes) throw tooLarge();
  const began = performance.now();
  const hash = createHash('sha256');
  let received = 0;
  try {
    // Destroying the request would reset the connection before the answer is sent.
    for await (const chunk of openBody(req).iterator({ destroyOnReturn: false })) {
      received += (chunk as Buffer).length;
      if (received > maxBytes) throw tooLarge();
      hash.update(chunk as Buffer);
    }
  } catch (cause) {
    if (cause instanceof RegistryError) throw cause;
    throw new RegistryError('BLOB_UPLOAD_INVALID', { message: 'the request body ended early', cause });
  }
  const document: SelfTestDocument = {
    received_bytes: received,
    announced_bytes: announced ?? null,
    sha256: hash.digest('hex'),
    receive_ms: Math.round(performance.now() - began),
    seen: { address: client.address, origin: client.origin ?? null, prefix },
  };
  return jsonReply(200, document);
}

function tooLarge(): RegistryError {
  const message = `the body is too large: at most ${maxBytes} bytes are allowed`;
  return new RegistryError('SIZE_INVALID', { status: 413, message, detail: { maxBytes } });
}
