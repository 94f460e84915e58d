/* The strict DER reader (X.690 10.1): one-byte tags, lengths up to four octets. */
#include "originca/der.h"

bool der_next(struct bytes *input, struct der_item *item) {
    const uint8_t *at = input->data;
    size_t left = input->length, head = 2;
    if (left < 2 || (at[0] & 0x1F) == 0x1F)
        return false;
    size_t length = at[1];
    if (length >= 0x80) {
        size_t octets = length & 0x7F;
        if (octets == 0 || octets > 4 || left < 2 + octets || at[2] == 0)
            return false;
        length = 0;
        for (size_t i = 0; i < octets; i++)
            length = length << 8 | at[2 + i];
        if (length < 0x80)
            return false;
        head = 2 + octets;
    }
    if (length > left - head)
        return false;
    item->tag = at[0];
    item->content = (struct bytes){at + head, length};
    item->whole = (struct bytes){at, head + length};
    input->data = at + head + length;
    input->length = left - head - length;
    return true;
}

bool der_expect(struct bytes *input, uint8_t tag, struct der_item *item) {
    return der_next(input, item) && item->tag == tag;
}
