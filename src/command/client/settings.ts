import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { toCamelCase } from '../../protocol/tables/spelling.js';
import { CommandError, usageError, type CommandIo } from '../command-io.js';
import { parseQuantity } from '../units.js';
import type { Document } from './api-client.js';

/**
 * Parses `name=value` for a document of the API. Sizes and durations may have units, as in a config file. Other values
 * are JSON if they can be parsed as such, and text otherwise.
 * @throws CommandError with exit code 2 for another form.
 */
export function parseSetting(setting: string): readonly [name: string, value: unknown] {
  const equals = setting.indexOf('=');
  if (equals < 1) throw usageError(`invalid setting "${setting}": write it as name=value, such as tag_ttl_seconds=5m`);
  const name = setting.slice(0, equals);
  const value = setting.slice(equals + 1);
  if (/^[0-9]/.test(value) && Number.isNaN(Number(value))) {
    const quantity = parseQuantity(toCamelCase(name), value);
    if (quantity !== undefined && 'problem' in quantity) throw usageError(`${name}: ${quantity.problem}`);
    if (quantity !== undefined) return [name, quantity.value];
  }
  try {
    return [name, JSON.parse(value) as unknown];
  } catch {
    return [name, value];
  }
}

/** Parses a duration such as `30d` or `3600` to seconds. @throws CommandError with exit code 2 for another form. */
export function parseSeconds(flag: string, value: string): number {
  if (/^[0-9]{1,15}$/.test(value)) return Number(value);
  const quantity = parseQuantity('durationSeconds', value);
  if (quantity !== undefined && 'value' in quantity) return quantity.value;
  throw usageError(`${flag}: "${value}" must be a number of seconds, or a number with a unit, such as 30d`);
}

/** Parses a size such as `50GiB` to bytes. @throws CommandError with exit code 2 for another form. */
export function parseBytes(argument: string, value: string): number {
  if (/^[0-9]{1,15}$/.test(value)) return Number(value);
  const quantity = parseQuantity('sizeBytes', value);
  if (quantity !== undefined && 'value' in quantity) return quantity.value;
  throw usageError(`${argument}: "${value}" must be a number of bytes, or a number with a unit, such as 50GiB`);
}

/** Reads a secret from a file, or from standard input for `-`, without white space around it. @throws CommandError */
export async function readSecretFile(file: string, { stdin }: CommandIo): Promise<string> {
  const content = await (file === '-' ? text(stdin) : readFile(file, 'utf8')).catch((cause: Error) => {
    throw new CommandError(`the secret cannot be read: ${cause.message}`, { cause });
  });
  return content.trim();
}

/** Reads a JSON document from a file, or from standard input for `-`. @throws CommandError */
export async function readDocumentFile(file: string, { stdin }: CommandIo): Promise<Document> {
  const content = await (file === '-' ? text(stdin) : readFile(file, 'utf8')).catch((cause: Error) => {
    throw new CommandError(`the document cannot be read: ${cause.message}`, { cause });
  });
  let document: unknown;
  try {
    document = JSON.parse(content);
  } catch (cause) {
    throw new CommandError(`"${file}" is not JSON: ${(cause as Error).message}`, { cause });
  }
  if (typeof document === 'object' && document !== null && !Array.isArray(document)) return document as Document;
  throw new CommandError(`"${file}" is not a JSON object`);
}

/** Returns the object without the fields that are undefined. */
export function defined(fields: Readonly<Record<string, unknown>>): Document {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
