import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { RegistryError } from '../../../protocol/errors.js';
import type { Exchange } from '../../exchange.js';
import type { Reply } from '../../reply.js';

/** The approximate size of the document. */
const documentBytes = 150_000;

/**
 * Sends the OpenAPI document, which the build writes. Reads it for each request, because few clients ask for it.
 * @throws RegistryError UNAVAILABLE if it was not built.
 */
export async function getOpenApi({ turn }: Pick<Exchange<object>, 'turn'>): Promise<Reply> {
  await turn(documentBytes);
  const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-cache' };
  return { status: 200, headers, body: await readFile(findDocument()) };
}

function findDocument(): string {
  try {
    return createRequire(import.meta.url).resolve('#openapi');
  } catch {
    throw new RegistryError('UNAVAILABLE', { message: 'the OpenAPI document is not built: run "npm run build"' });
  }
}
