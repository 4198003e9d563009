import { Attr, type AttributeChange, type AttrRecord, Change } from "../../src/vfs/attributes.js";

const PERMISSIONS = 0o7777;

const NOTHING: AttributeChange = {
  valid: 0,
  mode: 0,
  uid: 0,
  gid: 0,
  size: 0n,
  atime: 0,
  atimeNsec: 0,
  mtime: 0,
  mtimeNsec: 0,
  ctime: 0,
  ctimeNsec: 0,
};

/** A change of the fields that `fields.valid` names. */
export function attributeChange(fields: Partial<AttributeChange>): AttributeChange {
  return { ...NOTHING, ...fields };
}

function seconds(attr: AttrRecord, index: number): number {
  return ((attr[index + 1] as number) | 0) * 0x1_0000_0000 + (attr[index] as number);
}

/** The change that gives a file the owner of these attributes. */
export function ownerOf(attr: AttrRecord): AttributeChange {
  return attributeChange({
    valid: Change.UID | Change.GID,
    uid: attr[Attr.UID] as number,
    gid: attr[Attr.GID] as number,
  });
}

/** Whether two files have the same owner. */
export function isSameOwner(one: AttrRecord, other: AttrRecord): boolean {
  return one[Attr.UID] === other[Attr.UID] && one[Attr.GID] === other[Attr.GID];
}

/** The change that gives a file the permissions of these attributes. */
export function modeOf(attr: AttrRecord): AttributeChange {
  return attributeChange({ valid: Change.MODE, mode: (attr[Attr.MODE] as number) & PERMISSIONS });
}

/** The change that gives a file the permissions and times of these attributes. */
export function modeAndTimesOf(attr: AttrRecord): AttributeChange {
  const [{ valid, mode }, times] = [modeOf(attr), timesOf(attr)];
  return { ...times, valid: valid | times.valid, mode };
}

/** The change that gives a file the times of these attributes. */
export function timesOf(attr: AttrRecord): AttributeChange {
  return attributeChange({
    valid: Change.ATIME | Change.MTIME,
    atime: seconds(attr, Attr.ATIME),
    atimeNsec: attr[Attr.ATIME_NSEC] as number,
    mtime: seconds(attr, Attr.MTIME),
    mtimeNsec: attr[Attr.MTIME_NSEC] as number,
  });
}
