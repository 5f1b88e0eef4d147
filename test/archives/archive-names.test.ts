import { describe, expect, it } from 'vitest';
import { readArchiveName } from '../../src/archives/archive-names.js';

describe('readArchiveName', () => {
  it.each<[string, string | undefined, string | undefined]>([
    ['busybox:latest', 'busybox', 'latest'],
    ['team/app:1.2', 'team/app', '1.2'],
    ['docker.io/library/busybox:1', 'busybox', '1'],
    ['library/busybox:1', 'busybox', '1'],
    ['docker.io/team/app:1', 'team/app', '1'],
    ['registry.example/team/app:1', 'team/app', '1'],
    ['registry.example:5000/team/app', 'team/app', undefined],
    ['localhost/app:1', 'app', '1'],
    ['127.0.0.1:5000/local/team/app:1', 'team/app', '1'],
    ['local/team/app:1', 'team/app', '1'],
    ['local/app:1', 'app', '1'],
    ['local:1', 'local', '1'],
    ['library/team/app:1', 'library/team/app', '1'],
    ['team/app@sha256:0', 'team/app', undefined],
    ['team/app:1@sha256:0', 'team/app', '1'],
    ['1.2', undefined, '1.2'],
    ['latest', undefined, 'latest'],
    ['', undefined, undefined],
  ])('reads %j as the image %j with the tag %j', (text, image, tag) => {
    expect(readArchiveName(text, 'local')).toEqual({ ...(image && { image }), ...(tag && { tag }) });
  });

  it.each([
    ['Team/App:1', 'NAME_INVALID'],
    ['../app:1', 'NAME_INVALID'],
    ['a//b:1', 'NAME_INVALID'],
    ['registry.example/:1', 'NAME_INVALID'],
    [`${'a'.repeat(255)}:1`, 'NAME_INVALID'],
    ['app:a b', 'TAG_INVALID'],
    ['app:', 'TAG_INVALID'],
    ['not a tag', 'TAG_INVALID'],
    ['a'.repeat(1025), 'ARCHIVE_INVALID'],
  ])('rejects %j', (text, code) => {
    expect(() => readArchiveName(text, 'local')).toThrow(expect.objectContaining({ code }));
  });
});
