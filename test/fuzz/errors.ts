import { errorTable } from '../../src/protocol/errors.js';
import type { Answer } from '../support/clients/client.js';

/** What is wrong with a refusal: it has the JSON of the specification, with a code that we document; a 429 says when to retry. Never 500. */
export function errorProblems({ status, headers, body }: Pick<Answer, 'status' | 'headers' | 'body'>): string[] {
  if (status === 500) return [`it was answered 500: ${body.toString().slice(0, 200)}`];
  if (status === 429 && !/^[1-9][0-9]*$/.test(String(headers['retry-after'])))
    return [`it was answered 429 with Retry-After ${String(headers['retry-after'])}`];
  if (headers['content-type'] !== 'application/json')
    return [`an error ${status} is ${String(headers['content-type'])}`];
  try {
    const { errors } = JSON.parse(body.toString()) as { errors: { code: string; message: string }[] };
    const isKnown = errors.every(({ code, message }) => Object.hasOwn(errorTable, code) && message !== '');
    return errors.length > 0 && isKnown
      ? []
      : [`an error ${status} has unknown codes: ${body.toString().slice(0, 200)}`];
  } catch {
    return [`an error ${status} has no errors: ${body.toString().slice(0, 200)}`];
  }
}
