import { RegistryError } from '../../protocol/errors.js';
import { JsonLimitError, parseJson, smallLimits } from '../../protocol/json.js';
import type { Exchange } from '../exchange.js';

const maxDocumentBytes = 1024 * 1024;

/**
 * Reads the JSON body of a request to the management API. Accepts only `application/json`, which a web page cannot send to
 * another origin without a preflight request.
 * @throws RegistryError UNSUPPORTED 415; SIZE_INVALID 413; OPTIONS_INVALID for invalid JSON.
 */
export async function readDocument({ req, body }: Pick<Exchange<unknown>, 'req' | 'body'>): Promise<unknown> {
  if (!/^application\/json\s*(?:;|$)/i.test(req.headers['content-type'] ?? '')) {
    throw new RegistryError('UNSUPPORTED', { status: 415, message: 'the body must be application/json' });
  }
  const tooLarge = (): RegistryError =>
    new RegistryError('SIZE_INVALID', {
      status: 413,
      message: `the body is too large: at most ${maxDocumentBytes} bytes are allowed`,
      detail: { maxBytes: maxDocumentBytes },
    });
  const bytes = await body.read(maxDocumentBytes, tooLarge);
  try {
    return parseJson(bytes, smallLimits);
  } catch (cause) {
    if (cause instanceof JsonLimitError) {
      throw new RegistryError('SIZE_INVALID', { status: 413, message: `the body is too complex: ${cause.message}` });
    }
    throw new RegistryError('OPTIONS_INVALID', { message: 'the body is not JSON', cause });
  }
}
