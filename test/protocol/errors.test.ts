import { describe, expect, it } from 'vitest';
import { encodeError, errorTable, RegistryError, type ErrorCode } from '../../src/protocol/errors.js';

const codes = Object.keys(errorTable) as ErrorCode[];

describe('the error table', () => {
  it.each([
    ['BLOB_UNKNOWN', 404],
    ['BLOB_UPLOAD_INVALID', 400],
    ['BLOB_UPLOAD_UNKNOWN', 404],
    ['DIGEST_INVALID', 400],
    ['MANIFEST_BLOB_UNKNOWN', 400],
    ['MANIFEST_INVALID', 400],
    ['MANIFEST_UNKNOWN', 404],
    ['NAME_INVALID', 400],
    ['NAME_UNKNOWN', 404],
    ['SIZE_INVALID', 400],
    ['UNAUTHORIZED', 401],
    ['DENIED', 403],
    ['UNSUPPORTED', 405],
    ['TOOMANYREQUESTS', 429],
    ['TAG_INVALID', 400],
    ['RANGE_INVALID', 416],
    ['PAGINATION_NUMBER_INVALID', 400],
    ['UNAVAILABLE', 503],
    ['UNKNOWN', 500],
  ] as const)('maps %s to %i', (code, status) => {
    expect(errorTable[code].status).toBe(status);
  });

  it.each(codes)('has %s in capitals with a message', (code) => {
    expect(code).toMatch(/^[A-Z_]+$/);
    expect(errorTable[code].message.length).toBeGreaterThan(5);
  });
});

describe('RegistryError', () => {
  it.each(codes)('with %s has the status and message of the table by default', (code) => {
    const error = new RegistryError(code);
    expect(error).toMatchObject({ code, ...errorTable[code], headers: {}, name: 'RegistryError' });
    expect(JSON.parse(encodeError(error))).toEqual({ errors: [{ code, message: errorTable[code].message }] });
  });

  it('is encoded with its message and detail, and without its cause', () => {
    const error = new RegistryError('MANIFEST_INVALID', {
      status: 413,
      message: 'too large',
      detail: { maxBytes: 1 },
      headers: { Allow: 'GET' },
      cause: new Error('a secret path'),
    });
    expect(error.status).toBe(413);
    expect(error.headers).toEqual({ Allow: 'GET' });
    expect(encodeError(error)).toBe(
      '{"errors":[{"code":"MANIFEST_INVALID","message":"too large","detail":{"maxBytes":1}}]}',
    );
  });
});
