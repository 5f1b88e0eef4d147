import type { TagDocument } from '../../../../src/protocol/documents/images.js';
import type { VNode } from 'preact';
import { compareNaturally, formatNumber } from '../../format.ts';
import { imageHref, type ImageName } from '../../image-links.ts';
import { Icon } from '../../parts/icon.tsx';
import { isolate } from '../../parts/isolate.tsx';
import type { Column } from '../../parts/table.tsx';
import { Bytes, Digest, When } from '../../parts/texts.tsx';

/** Returns the key of a tag in a list: its name, or the digest of an untagged manifest. */
export function tagKey({ name, digest }: TagDocument): string {
  return name ?? digest;
}

const timeOf = (at: string | null): number => (at === null ? 0 : Date.parse(at));

/** Returns the columns of a list of tags. */
export function tagColumns(image: ImageName, items: readonly TagDocument[]): readonly Column<TagDocument>[] {
  const byDigest = new Map<string, string[]>();
  for (const { name, digest } of items) {
    if (name === undefined) continue;
    const same = byDigest.get(digest);
    // Not a copy: all tags of an image may name one digest.
    if (same === undefined) byDigest.set(digest, [name]);
    else same.push(name);
  }
  return [
    {
      key: 'name',
      title: items.some(({ name }) => name !== undefined) ? 'Tag' : 'Manifest',
      compare: (one, other) => compareNaturally(tagKey(one), tagKey(other)),
      cell: (tag) => <TagCell image={image} tag={tag} same={byDigest.get(tag.digest) ?? []} />,
    },
    { key: 'digest', title: 'Digest', isWide: true, cell: ({ digest }) => <Digest value={digest} /> },
    {
      key: 'type',
      title: 'Type',
      isWide: true,
      compare: (one, other) => compareNaturally(describeType(one), describeType(other)),
      cell: (tag) => describeType(tag),
    },
    {
      key: 'size',
      title: 'Size',
      isNumber: true,
      isLargestFirst: true,
      compare: (one, other) => one.size_bytes - other.size_bytes,
      cell: (tag) => <Bytes value={tag.size_bytes} />,
    },
    {
      key: 'pushed',
      title: 'Pushed',
      isLargestFirst: true,
      isWide: true,
      compare: (one, other) => timeOf(one.pushed_at) - timeOf(other.pushed_at),
      cell: (tag) => (
        <>
          <When at={tag.pushed_at} />
          {tag.pushed_by === undefined || tag.pushed_by === 'anonymous' ? undefined : (
            <span class="faint"> {isolate(tag.pushed_by)}</span>
          )}
        </>
      ),
    },
    {
      key: 'pulled',
      title: 'Pulled',
      isLargestFirst: true,
      isWide: true,
      compare: (one, other) => timeOf(one.pulled_at) - timeOf(other.pulled_at),
      cell: (tag) => <When at={tag.pulled_at} />,
    },
    {
      key: 'pulls',
      title: 'Pulls',
      isNumber: true,
      isLargestFirst: true,
      isWide: true,
      compare: (one, other) => one.pulls - other.pulls,
      cell: ({ pulls }) => formatNumber(pulls),
    },
  ];
}

/** The other tags that name the same digest. */
const maxSame = 3;

function TagCell({
  image,
  tag,
  same,
}: {
  readonly image: ImageName;
  readonly tag: TagDocument;
  readonly same: readonly string[];
}): VNode {
  const others = same.filter((name) => name !== tag.name);
  const text =
    others.slice(0, maxSame).join(', ') + (others.length > maxSame ? ` and ${others.length - maxSame} more` : '');
  return (
    <>
      <a href={imageHref(image, { reference: tagKey(tag) })}>{isolate(tag.name ?? tag.digest.slice(0, 19))}</a>
      {tag.immutable === undefined ? undefined : (
        <span class="faint" title={`Immutable by the pattern ${tag.immutable}`}>
          {' '}
          <Icon name="lock" label="immutable" />
        </span>
      )}
      {others.length === 0 || tag.name === undefined ? undefined : <span class="faint"> = {isolate(text)}</span>}
    </>
  );
}

function describeType({ type, artifact_type: artifactType, platforms }: TagDocument): string {
  if (platforms !== undefined && platforms.length > 0) {
    return platforms.length > 3 ? `${platforms.length} platforms` : platforms.join(', ');
  }
  return type === 'artifact' ? (artifactType ?? type) : type;
}
