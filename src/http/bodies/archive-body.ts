import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import busboy from 'busboy';
import { RegistryError } from '../../protocol/errors.js';
import { isOnlyListener, markOwned } from '../../util/streams/source-listener.js';
import { SinkWriter } from '../../util/streams/sink-writer.js';
import { writeInBatches } from '../../util/streams/streams.js';
import { openBody } from './body.js';

const formLimits = { files: 1, fields: 20, fieldSize: 1024, parts: 21, headerPairs: 20 };
const batchBytes = 256 * 1024;

/** The archive in a request: its body, or the file of a form. */
export interface ArchiveBody {
  readonly source: Readable;
  /** The form fields before the file. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Reads the rest of the form. Call it after the source has ended. @throws RegistryError when anything follows the file. */
  finish(): Promise<void>;
  /** Stops reading the body, which the caller may then drain. */
  abandon(): void;
}

/** Opens the archive of a request. @throws RegistryError ARCHIVE_INVALID for a malformed form or one without a file. */
export async function openArchiveBody(req: IncomingMessage): Promise<ArchiveBody> {
  const body = openBody(req);
  if (!/^multipart\//i.test(req.headers['content-type'] ?? '')) {
    return { source: body, fields: [], finish: () => Promise.resolve(), abandon: () => undefined };
  }
  return openForm(body);
}

async function openForm(body: IncomingMessage): Promise<ArchiveBody> {
  const form = createParser(body);
  const fields: [string, string][] = [];
  const isOwned = isOnlyListener(body);
  let hasFile = false;
  const opened = new Promise<Readable>((resolve, reject) => {
    form.on('field', (name, value) => {
      if (hasFile) form.destroy(formInvalid('form fields must come before the file'));
      else fields.push([name, value]);
    });
    form.on('file', (_name, file) => {
      hasFile = true;
      // The reader of the file handles its errors. Without this listener, one after it stops reading would be uncaught.
      file.on('error', () => {});
      if (isOwned) markOwned(file);
      resolve(file);
    });
    for (const limit of ['filesLimit', 'fieldsLimit', 'partsLimit'] as const) {
      form.on(
        limit,
        () => void form.destroy(formInvalid('too many parts in the form: send one file and at most 20 fields')),
      );
    }
    form.on('error', reject);
    form.on('close', () => reject(formInvalid('the form has no file')));
  });
  const parsing = parse(body, form);
  // `finish` awaits it. Until then, the reader of the file gets the error.
  parsing.catch(() => undefined);
  const source = await Promise.race([opened, parsing.then(() => opened)]).catch((error: unknown) => {
    form.destroy();
    throw toFormError(error);
  });
  const finish = (): Promise<void> =>
    parsing.catch((error: unknown) => {
      throw toFormError(error);
    });
  return { source, fields, finish, abandon: () => void form.destroy() };
}

function createParser({ headers }: IncomingMessage): busboy.Busboy {
  try {
    return busboy({ headers, limits: formLimits, fileHwm: batchBytes });
  } catch (cause) {
    throw formInvalid('the Content-Type of the form is malformed', cause);
  }
}

/** Feeds the parser as fast as the file is read. Keeps the body open when the parser fails. */
async function parse(body: IncomingMessage, form: busboy.Busboy): Promise<void> {
  let failure: Error | undefined;
  form.on('error', (error: Error) => (failure ??= error));
  const writer = new SinkWriter(form);
  try {
    const write = async (chunks: Buffer[]): Promise<void> => {
      for (const chunk of chunks) await writer.write(chunk);
    };
    await writeInBatches(body, write, { batchBytes });
    await new Promise<void>((resolve, reject) => {
      form.once('close', () => (failure === undefined ? resolve() : reject(failure)));
      form.end();
    });
  } catch (error) {
    form.destroy(error instanceof Error ? error : new Error(String(error)));
    throw failure ?? error;
  } finally {
    writer.release();
  }
}

/** Converts an error of the parser to ARCHIVE_INVALID. */
function toFormError(error: unknown): unknown {
  const isParserError = error instanceof Error && /^(?:Malformed|Unexpected end of form|Multipart)/.test(error.message);
  return isParserError ? formInvalid(`malformed form: ${error.message}`, error) : error;
}

function formInvalid(message: string, cause?: unknown): RegistryError {
  return new RegistryError('ARCHIVE_INVALID', { message, cause });
}
